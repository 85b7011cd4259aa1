// What a kubelet does for CoreDNS: the ConfigMap's Corefile becomes a file, and follows its changes.

package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// The ConfigMap of kubeadm, EKS and most others.
const namespace, configMap, key = "kube-system", "coredns", "Corefile"

// A lost watch is opened again after this long: the API server may be away for a while.
const pause = 500 * time.Millisecond

type mount struct {
	pod    pod
	file   string
	client kubernetes.Interface
	// What the file was written from: a status or a mark that changes nothing is no reason to reload.
	written string
}

func (p pod) mount(ctx context.Context, file string) (*mount, error) {
	config, err := clientcmd.BuildConfigFromFlags("", p.kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	m := &mount{pod: p, file: file, client: client}
	if _, err := m.read(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

// read writes the file as the ConfigMap is now; says as of which version of it.
func (m *mount) read(ctx context.Context) (string, error) {
	object, err := m.client.CoreV1().ConfigMaps(namespace).Get(ctx, configMap, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	corefile, found := object.Data[key]
	if !found {
		return "", fmt.Errorf("the ConfigMap %s/%s has no %s", namespace, configMap, key)
	}
	if corefile == m.written {
		return object.ResourceVersion, nil
	}
	// Renamed into place, as a kubelet does: a reload never sees half a file.
	if err := os.WriteFile(m.file+".new", []byte(m.pod.outside(corefile)), 0o600); err != nil {
		return "", err
	}
	if err := os.Rename(m.file+".new", m.file); err != nil {
		return "", err
	}
	m.written = corefile
	return object.ResourceVersion, nil
}

func (m *mount) follow(ctx context.Context) {
	for ; ; time.Sleep(pause) {
		version, err := m.read(ctx)
		if err != nil {
			log.Printf("[WARNING] mount: %v", err)
			continue
		}
		options := metav1.ListOptions{FieldSelector: "metadata.name=" + configMap, ResourceVersion: version}
		watch, err := m.client.CoreV1().ConfigMaps(namespace).Watch(ctx, options)
		if err != nil {
			log.Printf("[WARNING] mount: %v", err)
			continue
		}
		for range watch.ResultChan() {
			if _, err := m.read(ctx); err != nil {
				log.Printf("[WARNING] mount: %v", err)
			}
		}
		watch.Stop()
	}
}
