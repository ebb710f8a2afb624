#!/usr/bin/env bash
# A search on a cloud cluster in four lines, and on Slurm in one; cluster/README.md says what each needs.
#
#     bash examples/on_a_cluster.sh            prints the commands of Ray and Slurm that would run, and runs none
#     bash examples/on_a_cluster.sh --for-real
#
# Look for what is said before anything starts: lint tells what is wrong, unsafe or costly in the files.
set -euo pipefail
cd "$(dirname "$0")/.."
dry=--dry-run
if [ "${1:-}" = --for-real ]; then dry=; fi

# What `gxsearch cluster up cluster/setup/aws.yaml` prints once; these stand for nothing.
export GXSEARCH_AWS_IMAGE="${GXSEARCH_AWS_IMAGE:-ami-0123456789abcdef0}"
export GXSEARCH_AWS_SUBNET="${GXSEARCH_AWS_SUBNET:-subnet-0123456789abcdef0}"
export GXSEARCH_AWS_SECURITY_GROUP="${GXSEARCH_AWS_SECURITY_GROUP:-sg-0123456789abcdef0}"
export GXSEARCH_AWS_EFS="${GXSEARCH_AWS_EFS:-fs-0123456789abcdef0}"

gxsearch cluster lint cluster/aws.yaml cluster/slurm/gxsearch.sbatch

echo "# a cloud cluster: a head that stays, GPU workers that come and go"
gxsearch cluster up cluster/aws.yaml $dry
gxsearch cluster submit cluster/aws.yaml search_spaces/fe.yaml --name first $dry
gxsearch cluster fetch cluster/aws.yaml first $dry
gxsearch cluster down cluster/aws.yaml $dry

echo "# Slurm: one search on several nodes, put back in the queue when its time is over"
gxsearch cluster submit cluster/slurm/gxsearch.sbatch search_spaces/fe.yaml $dry
