package k8s

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// manifest is what the file has.
type manifest struct {
	deployment appsv1.Deployment
	service    corev1.Service
	budget     policyv1.PodDisruptionBudget
}

func read(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile("../kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// decode takes a field that does not exist, or comes twice, for a mistake, as the API server does with fieldValidation=Strict.
func decode(b []byte) (m manifest, err error) {
	for document := range bytes.SplitSeq(b, []byte("\n---\n")) {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			return m, err
		}
		var into any
		switch kind {
		case metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}:
			into = &m.deployment
		case metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}:
			into = &m.service
		case metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}:
			into = &m.budget
		}
		if err := yaml.UnmarshalStrict(document, into); err != nil {
			return m, err
		}
	}
	return m, nil
}

// flag is the value of a flag of the container.
func (m manifest) flag(name string) string {
	for _, c := range m.deployment.Spec.Template.Spec.Containers {
		for _, arg := range c.Args {
			if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
				return value
			}
		}
	}
	return ""
}

func (m manifest) duration(name string) time.Duration {
	d, _ := time.ParseDuration(m.flag(name))
	return d
}

// faults are what decoding does not see.
func (m manifest) faults() (all []string) {
	fault := func(bad bool, what string) {
		if bad {
			all = append(all, what)
		}
	}
	pod := m.deployment.Spec.Template
	matches := func(s *metav1.LabelSelector) bool {
		selector, err := metav1.LabelSelectorAsSelector(s)
		return err == nil && !selector.Empty() && selector.Matches(labels.Set(pod.Labels))
	}
	fault(!matches(m.deployment.Spec.Selector), "the Deployment does not select its own pods")
	fault(len(m.service.Spec.Selector) == 0 || !labels.SelectorFromSet(m.service.Spec.Selector).Matches(labels.Set(pod.Labels)), "the Service does not select the pods")
	fault(!matches(m.budget.Spec.Selector), "the PodDisruptionBudget does not select the pods")
	if len(pod.Spec.Containers) != 1 {
		return append(all, "there is not one container")
	}
	c := pod.Spec.Containers[0]
	ports := make(map[string]int32)
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	port := func(p intstr.IntOrString) int32 {
		if p.Type == intstr.String {
			return ports[p.StrVal]
		}
		return p.IntVal
	}
	listens := func(flag string, want int32) bool {
		_, number, _ := strings.Cut(m.flag(flag), ":")
		return want != 0 && intstr.Parse(number).IntVal == want
	}
	fault(len(m.service.Spec.Ports) != 1 || !listens("addr", port(m.service.Spec.Ports[0].TargetPort)), "the Service's port is not that of --addr")
	probes := func(p *corev1.Probe, path string) bool {
		return p != nil && p.HTTPGet != nil && p.HTTPGet.Path == path && listens("health", port(p.HTTPGet.Port))
	}
	fault(!probes(c.ReadinessProbe, "/readyz"), "the readiness probe is not /readyz on --health")
	fault(!probes(c.LivenessProbe, "/livez"), "the liveness probe is not /livez on --health")
	fault(c.Lifecycle != nil && c.Lifecycle.PreStop != nil, "there is a preStop hook, whose time --drain-delay takes a second time")
	grace := pod.Spec.TerminationGracePeriodSeconds
	fault(grace == nil || m.duration("grace") != time.Duration(*grace)*time.Second, "--grace is not terminationGracePeriodSeconds")
	fault(m.flag("on-term") != "drain", "SIGTERM does not drain")
	fault(m.duration("drain-delay") < 2*time.Second, "the delay is too short for endpoints to be removed")
	fault(m.duration("drain-delay")+m.duration("drain-spread") >= m.duration("drain-timeout"), "the delay and the spread leave nothing of the drain")
	fault(m.duration("drain-timeout") == 0 || m.duration("drain-timeout")+time.Second > m.duration("grace"), "the drain is longer than the grace")
	u := m.deployment.Spec.Strategy.RollingUpdate
	fault(u == nil || u.MaxUnavailable == nil || u.MaxUnavailable.String() != "0", "an update has fewer pods than before")
	fault(m.deployment.Spec.Replicas == nil || *m.deployment.Spec.Replicas < 2, "there is one pod only")
	fault(m.budget.Spec.MaxUnavailable == nil && m.budget.Spec.MinAvailable == nil, "the PodDisruptionBudget bounds nothing")
	s := c.SecurityContext
	fault(s == nil || s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem,
		"the container has more than it needs")
	return all
}

func TestManifest(t *testing.T) {
	m, err := decode(read(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range m.faults() {
		t.Error(f)
	}
}

// Each fault is found.
func TestManifestFaults(t *testing.T) {
	for _, tc := range []struct{ old, new, want string }{
		{"replicas: 4", "replica: 4", "unknown field"},
		{"      containers:\n", "      container:\n", "unknown field"},
		{"spec:\n  selector: {app.kubernetes.io/name: rstserver}", "spec:\n  selector: {app.kubernetes.io/name: other}", "the Service does not select"},
		{"targetPort: http", "targetPort: web", "the Service's port"},
		{"--addr=:8080", "--addr=:8081", "the Service's port"},
		{"path: /readyz", "path: /ready", "the readiness probe"},
		{"{path: /livez, port: health}", "{path: /livez, port: http}", "the liveness probe"},
		{"terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: 20", "--grace is not"},
		{"--on-term=drain", "--on-term=abort", "SIGTERM does not drain"},
		{"--drain-delay=5s", "--drain-delay=0s", "the delay is too short"},
		{"--drain-spread=5s", "--drain-spread=23s", "leave nothing"},
		{"--drain-timeout=28s", "--drain-timeout=30s", "longer than the grace"},
		{"maxUnavailable: 0", "maxUnavailable: 1", "fewer pods"},
		{"{drop: [ALL]}", "{}", "more than it needs"},
		{"  maxUnavailable: 1\n", "", "bounds nothing"},
		{"          ports:\n", "          lifecycle: {preStop: {sleep: {seconds: 5}}}\n          ports:\n", "a preStop hook"},
	} {
		b := read(t)
		if n := bytes.Count(b, []byte(tc.old)); n != 1 {
			t.Errorf("%q is in the file %d times, want once", tc.old, n)
			continue
		}
		m, err := decode(bytes.Replace(b, []byte(tc.old), []byte(tc.new), 1))
		found := m.faults()
		if err != nil {
			found = []string{err.Error()}
		}
		if !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, tc.want) }) {
			t.Errorf("%q in place of %q: found are %q, want %q", tc.new, tc.old, found, tc.want)
		}
	}
}
