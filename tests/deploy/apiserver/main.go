// What the API server of one Kubernetes version says of objects: decoded strictly, defaulted, and validated by the
// strategies that it creates them with. Reads a JSON array on stdin, prints one line for each fault and each warning.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	"k8s.io/kubernetes/pkg/registry/apps/daemonset"
	"k8s.io/kubernetes/pkg/registry/apps/statefulset"
	"k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrole"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrolebinding"
)

var strategies = map[string]rest.RESTCreateStrategy{
	"ClusterRole":             clusterrole.Strategy,
	"ClusterRoleBinding":      clusterrolebinding.Strategy,
	"ConfigMap":               configmap.Strategy,
	"DaemonSet":               daemonset.Strategy,
	"HorizontalPodAutoscaler": horizontalpodautoscaler.Strategy,
	"Namespace":               namespace.Strategy,
	"NetworkPolicy":           networkpolicy.Strategy,
	"PodDisruptionBudget":     poddisruptionbudget.Strategy,
	"Service":                 service.Strategy,
	"ServiceAccount":          serviceaccount.Strategy,
	"StatefulSet":             statefulset.Strategy,
}

func main() {
	var documents []json.RawMessage
	if err := json.NewDecoder(os.Stdin).Decode(&documents); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	codecs := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)
	for _, document := range documents {
		object, kind, err := codecs.UniversalDeserializer().Decode(document, nil, nil)
		if err != nil {
			fmt.Printf("refused: %v\n", err)
			continue
		}
		legacyscheme.Scheme.Default(object)
		internal, err := legacyscheme.Scheme.ConvertToVersion(object, runtime.InternalGroupVersioner)
		if err != nil {
			fmt.Printf("refused: %v\n", err)
			continue
		}
		validate(kind.Kind, internal)
	}
}

func validate(kind string, object runtime.Object) {
	strategy, known := strategies[kind]
	accessor, err := meta.Accessor(object)
	if err != nil || !known {
		fmt.Printf("refused: no strategy for %s\n", kind)
		return
	}
	ctx := request.WithNamespace(context.Background(), accessor.GetNamespace())
	if !strategy.NamespaceScoped() {
		ctx = request.WithNamespace(context.Background(), "")
	}
	if it, ok := object.(*core.Service); ok && it.Spec.ClusterIP != "" && len(it.Spec.ClusterIPs) == 0 {
		it.Spec.ClusterIPs = []string{it.Spec.ClusterIP} // the registry's storage does that before it validates
	}
	rest.FillObjectMetaSystemFields(accessor)
	strategy.PrepareForCreate(ctx, object)
	for _, fault := range strategy.Validate(ctx, object) {
		fmt.Printf("refused: %s %s: %v\n", kind, accessor.GetName(), fault)
	}
	for _, warning := range strategy.WarningsOnCreate(ctx, object) {
		fmt.Printf("warning: %s %s: %s\n", kind, accessor.GetName(), warning)
	}
	strategy.Canonicalize(object)
}
