"""The fields of RayCluster and RayJob, by `grammar`.

They are those of KubeRay 1.7.0 by its field reference (ray-project/kuberay, docs/reference/api.md of 97509c3a). Types,
required keys and words are those of the Go types with the same fields (ray-operator/apis/ray/v1), of which the CRD is
generated, and of an older CRD (ray.io_raycronjobs.yaml of 12cb11e4, which holds both specs). Where the operator
refuses what the CRD lets pass, such as fewer workers than none, its rule stands here (validation.go, see `refusals`).
minReplicas and maxReplicas must be there by the CRD, which also gives them defaults: so they need not.
"""

from gxsearch.cluster.kubernetes_fields import KUBERNETES

VERSIONS = "KubeRay 1.7 and Kubernetes 1.37"
MANAGERS = "ray.io/kuberay-operator|kueue.x-k8s.io/multikueue"
POLICIES = "DeleteCluster|DeleteWorkers|DeleteSelf|DeleteNone"

KUBERAY = f"""{KUBERNETES}
RayCluster: apiVersion=text kind=text metadata=ObjectMeta spec!=ClusterSpec status=any
RayJob: apiVersion=text kind=text metadata=ObjectMeta spec!=JobSpec status=any

ClusterSpec: headGroupSpec!=Head workerGroupSpecs=[Workers] rayVersion=text enableInTreeAutoscaling=bool
  autoscalerOptions=Autoscaler authOptions=Auth tlsOptions=Tls networkPolicy=Isolation suspend=bool
  managedBy={MANAGERS} upgradeStrategy=Upgrade gcsFaultToleranceOptions=Gcs historyServerOptions=History
  headServiceAnnotations={{text}}
Head: template!=Template rayStartParams={{text}} serviceType=ClusterIP|NodePort|LoadBalancer|ExternalName
  headService=HeadService enableIngress=bool ingressOptions=IngressOptions resources={{text}} labels={{text}}
Workers: groupName!=text template!=Template replicas=int>=0 minReplicas=int>=0 maxReplicas=int>=0 numOfHosts=int>=0
  rayStartParams={{text}} idleTimeoutSeconds=int>=0 priority=int resources={{text}} labels={{text}} scaleStrategy=Scale
  suspend=bool
Template: metadata=TemplateMeta spec!=PodSpec
TemplateMeta: name=text namespace=text labels={{text}} annotations={{text}} finalizers=[text]
HeadService: apiVersion=text kind=text metadata=TemplateMeta spec=ServiceSpec status=any
IngressOptions: host=text path=text pathType=Exact|Prefix|ImplementationSpecific tls=[IngressTLS]
Scale: workersToDelete=[text]
Autoscaler: idleTimeoutSeconds=int>=0 upscalingMode=Default|Aggressive|Conservative version=v1|v2 resources=Resources
  image=text imagePullPolicy=Always|IfNotPresent|Never securityContext=SecurityContext env=[EnvVar] envFrom=[EnvFrom]
  volumeMounts=[VolumeMount] command=[text] args=[text]
Auth: mode=disabled|token enableK8sTokenAuth=bool secretName=text
Tls: enabled=bool
Isolation: mode=DenyAll|DenyAllIngress|DenyAllEgress head=Rules worker=Rules workerGroups=[GroupRules]
Rules: ingressRules=[Ingress] egressRules=[Egress]
GroupRules: groupName!=text ingressRules=[Ingress] egressRules=[Egress]
Upgrade: type=Recreate|None
Gcs: backend=redis|rocksdb redisAddress=text redisUsername=Credential redisPassword=Credential
  externalStorageNamespace=text storage=Storage
Credential: value=text valueFrom=EnvSource
Storage: claimName=text size=quantity storageClassName=text accessModes=[text] subPath=text
  deletionPolicy=DeleteWithCluster|Retain
History: collectorOptions!=Collector
Collector: image!=text imagePullPolicy=Always|IfNotPresent|Never resources=Resources env=[EnvVar]

JobSpec: entrypoint=text clusterSelector={{text}} rayClusterSpec=ClusterSpec
  submissionMode=K8sJobMode|HTTPMode|InteractiveMode|SidecarMode submitterPodTemplate=Template submitterConfig=Submitter
  runtimeEnvYAML=text jobId=text metadata={{text}} entrypointNumCpus=number entrypointNumGpus=number
  entrypointResources=text activeDeadlineSeconds=int>=1 preRunningDeadlineSeconds=int>=1 backoffLimit=int>=0
  ttlSecondsAfterFinished=int>=0 shutdownAfterJobFinishes=bool suspend=bool managedBy={MANAGERS}
  deletionStrategy=Deletion
Submitter: backoffLimit=int>=0
Deletion: deletionRules=[Rule]+ onSuccess=Policy onFailure=Policy
Rule: policy!={POLICIES} condition!=Condition
Condition: jobStatus=SUCCEEDED|FAILED jobDeploymentStatus=Failed| ttlSeconds=int>=0
Policy: policy!={POLICIES}
"""
