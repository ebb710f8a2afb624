"""Rules for AWS, Google Cloud and Azure: what Ray 2.60 leaves open there unless a file says otherwise.

Read in Ray's `autoscaler/_private`: aws/config.py opens port 22 to 0.0.0.0/0 and makes a role with AmazonEC2FullAccess
and AmazonS3FullAccess; gcp/config.py uses the default network; _azure/azure-config-template.json opens port 22 to `*`.
"""

from __future__ import annotations

import re
from typing import Any

from gxsearch.cluster.findings import Findings
from gxsearch.cluster.sheet import group, items
from gxsearch.errors import did_you_mean
from gxsearch.search.yaml_file import Document, Where

_PROVIDER = {
    "aws": "region availability_zone cache_stopped_nodes key_pair security_group use_internal_ips cloudwatch",
    "gcp": "region availability_zone project_id cache_stopped_nodes gcp_credentials use_internal_ips",
    "azure": "location resource_group subscription_id subnet_mask unique_id availability_zone cache_stopped_nodes "
    "use_internal_ips use_external_head_ip msi_name msi_resource_group tags",
    "local": "head_ip worker_ips coordinator_address external_head_ip",
}
_NEEDS = {
    "aws": ["region"],
    "gcp": ["region", "availability_zone", "project_id"],
    "azure": ["location", "resource_group"],
    "local": ["head_ip"],
}
_NODE = {
    "aws": "InstanceType ImageId SubnetIds SecurityGroupIds IamInstanceProfile MetadataOptions BlockDeviceMappings "
    "InstanceMarketOptions KeyName UserData Placement NetworkInterfaces TagSpecifications EbsOptimized CpuOptions",
    "gcp": "machineType disks networkInterfaces serviceAccounts scheduling guestAccelerators metadata labels tags",
    "azure": "azure_arm_parameters",
    "local": "",
}


def check(cloud: str, doc: Document, found: Findings) -> None:
    """Add what is wrong with the provider and the node types of a cloud."""
    provider = group(doc.get(("provider",)))
    found.typos(doc, ("provider",), ["type", *_PROVIDER[cloud].split()])
    for key in _NEEDS[cloud]:
        if not provider.get(key):
            near = did_you_mean(key, set(provider) - {"type", key})
            fix = f"write {key}: ...; {near}" if near.startswith("did") else f"write {key}: ..."
            found.add("E382", doc.where(("provider", key)), f"provider lacks {key}", fix)
    if cloud == "azure":
        _azure_network(doc, provider, found)
    if "gcp_credentials" in provider:
        where = doc.where(("provider", "gcp_credentials"), key=True)
        found.add("E830", where, "credentials stand in the file", "use: gcloud auth application-default login")
    for name, kind in group(doc.get(("available_node_types",))).items():
        if not isinstance(kind, dict) or not isinstance(kind.get("node_config"), dict):
            continue
        path, is_head = ("available_node_types", name, "node_config"), name == doc.get(("head_node_type",))
        found.typos(doc, path, _NODE[cloud].split())
        rules = {"aws": _aws, "gcp": _gcp, "azure": _azure}
        if cloud in rules:
            rules[cloud](doc, path, kind["node_config"], found, is_head=is_head)


def _spot(doc: Document, path: Where, found: Findings, *, spot: bool, is_head: bool, how: str) -> None:
    if str(doc.get(("head_node_type",))) not in group(doc.get(("available_node_types",))):
        return  # which is a fault of its own: nobody knows which one is the head
    if is_head and spot:
        what = "the head may be taken away at any time, and the search with it"
        found.add("E386", doc.where(path, key=True), what, "use spot for workers only")
    if not is_head and not spot:
        fix = f"write {how}; trials that are taken away go on from their checkpoint"
        found.add("E386", doc.where(path, key=True), "workers at the full price", fix)


def _aws(doc: Document, path: Where, node: dict[str, Any], found: Findings, *, is_head: bool) -> None:
    where = doc.where(path, key=True)
    market = group(node.get("InstanceMarketOptions")).get("MarketType")
    how = "InstanceMarketOptions: {MarketType: spot}"
    _spot(doc, path, found, spot=market == "spot", is_head=is_head, how=how)
    interfaces = [group(entry) for entry in items(node.get("NetworkInterfaces"))]
    if not node.get("SecurityGroupIds") and not any(entry.get("Groups") for entry in interfaces):
        fix = "write SecurityGroupIds: [...] of a group of yours (cluster/setup/aws.yaml makes one)"
        found.add("E833", where, "Ray makes a security group that lets SSH in from the whole world", fix)
    options = group(node.get("MetadataOptions"))
    if options.get("HttpEndpoint") != "disabled":
        at = doc.where((*path, "MetadataOptions")) if "MetadataOptions" in node else where
        if options.get("HttpTokens") != "required":
            fix = "write MetadataOptions: {HttpTokens: required, HttpPutResponseHopLimit: 1}"
            found.add("E838", at, "IMDSv1 gives the machine's role to any request that is made from it", fix)
        elif options.get("HttpPutResponseHopLimit", 1) != 1:
            found.add("E838", at, "containers get at the machine's role", "write HttpPutResponseHopLimit: 1")
    if is_head and not node.get("IamInstanceProfile"):
        fix = "write IamInstanceProfile: {Name: gxsearch-head} (cluster/setup/aws.yaml makes it)"
        found.add("E835", where, "Ray gives the head a role with AmazonEC2FullAccess and AmazonS3FullAccess", fix)
    if not node.get("ImageId") or str(node["ImageId"]).lower() == "latest_dlami":
        fix = "write ImageId: ami-... of a current Deep Learning AMI"
        found.add("E837", where, "Ray's default image is Ubuntu 18.04, which gets no more security updates", fix)


def _gcp(doc: Document, path: Where, node: dict[str, Any], found: Findings, *, is_head: bool) -> None:
    where = doc.where(path, key=True)
    scheduling: dict[str, Any] = {}
    given = node.get("scheduling")
    for entry in given if isinstance(given, list) else [given]:
        scheduling |= group(entry)
    spot = scheduling.get("provisioningModel") == "SPOT" or scheduling.get("preemptible") is True
    _spot(doc, path, found, spot=spot, is_head=is_head, how="scheduling: {provisioningModel: SPOT}")
    if not node.get("networkInterfaces"):
        fix = "write networkInterfaces: [{subnetwork: ...}] of a network of yours (cluster/README.md)"
        found.add("E833", where, "the default network lets SSH in from the whole world", fix)
    accounts = items(node.get("serviceAccounts"))
    if is_head and not accounts:
        fix = "write serviceAccounts: [{email: ..., scopes: [...]}] of an account of yours (cluster/README.md)"
        found.add("E835", where, "Ray gives the head compute.admin and storage.objectAdmin of the whole project", fix)
    for i, account in enumerate(accounts):
        at = (*path, "serviceAccounts", i)
        scopes = [str(scope) for scope in items(group(account).get("scopes"))]
        if not is_head and any(scope.rsplit("/", 1)[-1] in ("cloud-platform", "compute") for scope in scopes):
            fix = "write the scope https://www.googleapis.com/auth/logging.write"
            found.add("E835", doc.where((*at, "scopes")), "workers may use all that their account may", fix)
        if "-compute@developer" in str(group(account).get("email")):
            fix = "make one for this: gcloud iam service-accounts create gxsearch-worker"
            found.add("E835", doc.where((*at, "email")), "the default account may edit the whole project", fix)
    for i, disk in enumerate(items(node.get("disks"))):
        image = group(group(disk).get("initializeParams")).get("sourceImage")
        if isinstance(image, str) and "/family/" in image:
            fix = "name one image: projects/P/global/images/NAME"
            at = doc.where((*path, "disks", i, "initializeParams", "sourceImage"))
            found.add("E837", at, "the newest image of a family is another one tomorrow", fix)


def _azure_network(doc: Document, provider: dict[str, Any], found: Findings) -> None:
    if provider.get("use_internal_ips") is not True or provider.get("use_external_head_ip") is True:
        key = "use_external_head_ip" if provider.get("use_internal_ips") is True else "use_internal_ips"
        fix = "write use_internal_ips: true, and come by VPN or auth.ssh_proxy_command"
        what = "Ray's template lets SSH in from the whole world at every public address"
        found.add("E833", doc.where(("provider", key)), what, fix)


def _azure(doc: Document, path: Where, node: dict[str, Any], found: Findings, *, is_head: bool) -> None:
    parameters = group(node.get("azure_arm_parameters"))
    spot = re.fullmatch("spot|low", str(parameters.get("priority")), re.IGNORECASE) is not None
    _spot(doc, path, found, spot=spot, is_head=is_head, how="azure_arm_parameters: {priority: Spot}")
    if parameters.get("imageVersion", "latest") == "latest":
        fix = "name one: az vm image list --publisher microsoft-dsvm --offer ubuntu-2204 --all"
        at = doc.where((*path, "azure_arm_parameters", "imageVersion"))
        found.add("E837", at, "the newest image is another one tomorrow", fix)
