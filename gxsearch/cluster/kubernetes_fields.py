"""The fields of Kubernetes' own that stand in cluster files, by `grammar`: pods, disks, network policies, services.

They are those of Kubernetes 1.37; tests/cluster/test_kubernetes.py compares them with the schemas of that version.
What searches do not need goes no deeper than its name (any).
"""

KUBERNETES = """
ObjectMeta: name=text generateName=text namespace=text labels={text} annotations={text} finalizers=[text]
  ownerReferences=[any] uid=text resourceVersion=text selfLink=text generation=long creationTimestamp=any
  deletionTimestamp=any deletionGracePeriodSeconds=long managedFields=[any]
PodSpec: containers!=[Container]+ initContainers=[Container] ephemeralContainers=[any] volumes=[Volume]
  restartPolicy=Always|OnFailure|Never securityContext=PodSecurityContext nodeSelector={text} tolerations=[Toleration]
  affinity=any topologySpreadConstraints=[any] serviceAccountName=text serviceAccount=text
  automountServiceAccountToken=bool imagePullSecrets=[any] activeDeadlineSeconds=long terminationGracePeriodSeconds=long
  priorityClassName=text priority=int preemptionPolicy=text runtimeClassName=text schedulerName=text
  schedulingGates=[any] schedulingGroup=any readinessGates=[any] resources=Resources resourceClaims=[any]
  overhead={quantity} evictionResponders=[any] nodeName=text hostname=text hostnameOverride=text subdomain=text
  setHostnameAsFQDN=bool hostAliases=[any] hostNetwork=bool hostPID=bool hostIPC=bool hostUsers=bool
  shareProcessNamespace=bool enableServiceLinks=bool dnsPolicy=text dnsConfig=any os=any
Container: name!=text image=text imagePullPolicy=Always|IfNotPresent|Never command=[text] args=[text] workingDir=text
  env=[EnvVar] envFrom=[EnvFrom] resources=Resources resizePolicy=[any] volumeMounts=[VolumeMount] volumeDevices=[any]
  securityContext=SecurityContext ports=[ContainerPort] livenessProbe=any readinessProbe=any startupProbe=any
  lifecycle=any restartPolicy=text restartPolicyRules=[any] stdin=bool stdinOnce=bool tty=bool
  terminationMessagePath=text terminationMessagePolicy=text
ContainerPort: containerPort!=int name=text protocol=text hostIP=text hostPort=int
EnvVar: name!=text value=text valueFrom=EnvSource
EnvSource: secretKeyRef=any configMapKeyRef=any fieldRef=any resourceFieldRef=any fileKeyRef=any
EnvFrom: prefix=text secretRef=any configMapRef=any
Resources: limits={quantity} requests={quantity} claims=[any]
VolumeMount: name!=text mountPath!=text readOnly=bool recursiveReadOnly=text subPath=text subPathExpr=text
  mountPropagation=text bindMountOptions=[text]
SecurityContext: runAsNonRoot=bool runAsUser=long runAsGroup=long allowPrivilegeEscalation=bool privileged=bool
  readOnlyRootFilesystem=bool capabilities=Capabilities seccompProfile=Profile appArmorProfile=Profile procMount=text
  seLinuxOptions=any windowsOptions=any
PodSecurityContext: runAsNonRoot=bool runAsUser=long runAsGroup=long fsGroup=long fsGroupChangePolicy=text
  supplementalGroups=[long] supplementalGroupsPolicy=text seccompProfile=Profile appArmorProfile=Profile
  seLinuxOptions=any seLinuxChangePolicy=text sysctls=[any] windowsOptions=any
Capabilities: add=[text] drop=[text]
Profile: type!=text localhostProfile=text
Toleration: key=text operator=text value=text effect=text tolerationSeconds=long
Volume: name!=text persistentVolumeClaim=ClaimVolume emptyDir=EmptyDir nfs=any csi=any hostPath=any configMap=any
  secret=any projected=any downwardAPI=any ephemeral=any image=any awsElasticBlockStore=any azureDisk=any azureFile=any
  cephfs=any cinder=any fc=any flexVolume=any flocker=any gcePersistentDisk=any gitRepo=any glusterfs=any iscsi=any
  photonPersistentDisk=any portworxVolume=any quobyte=any rbd=any scaleIO=any storageos=any vsphereVolume=any
ClaimVolume: claimName!=text readOnly=bool
EmptyDir: medium=text sizeLimit=quantity mode=int

Service: apiVersion=text kind=text metadata=ObjectMeta spec=ServiceSpec status=any
ServiceSpec: type=ClusterIP|NodePort|LoadBalancer|ExternalName ports=[ServicePort] selector={text} clusterIP=text
  clusterIPs=[text] externalIPs=[text] externalName=text externalTrafficPolicy=text internalTrafficPolicy=text
  healthCheckNodePort=int ipFamilies=[text] ipFamilyPolicy=text loadBalancerClass=text loadBalancerIP=text
  loadBalancerSourceRanges=[text] allocateLoadBalancerNodePorts=bool publishNotReadyAddresses=bool sessionAffinity=text
  sessionAffinityConfig=any trafficDistribution=text
ServicePort: port!=int name=text protocol=text targetPort=port nodePort=int appProtocol=text

PersistentVolumeClaim: apiVersion=text kind=text metadata=ObjectMeta spec=ClaimSpec status=any
ClaimSpec: accessModes=[ReadWriteOnce|ReadOnlyMany|ReadWriteMany|ReadWriteOncePod] storageClassName=text
  resources=ClaimResources volumeName=text volumeMode=text volumeAttributesClassName=text selector=Selector
  dataSource=any dataSourceRef=any
ClaimResources: requests={quantity} limits={quantity}
Selector: matchLabels={text} matchExpressions=[Expression]
Expression: key!=text operator!=In|NotIn|Exists|DoesNotExist values=[text]

NetworkPolicy: apiVersion=text kind=text metadata=ObjectMeta spec=PolicySpec
PolicySpec: podSelector=Selector policyTypes=[Ingress|Egress] ingress=[Ingress] egress=[Egress]
Ingress: from=[Peer] ports=[PolicyPort]
Egress: to=[Peer] ports=[PolicyPort]
Peer: podSelector=Selector namespaceSelector=Selector ipBlock=IPBlock
IPBlock: cidr!=text except=[text]
PolicyPort: protocol=text port=port endPort=int
IngressTLS: hosts=[text] secretName=text
"""
