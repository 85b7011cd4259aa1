// CoreDNS with the plugins of kubeadm's Corefile and `template`, reading its Corefile from the cluster as a pod of kube-system would.
package main

import (
	"context"
	"flag"
	"log"
	"os"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/loop"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
	_ "github.com/coredns/coredns/plugin/rewrite"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() {
	var pod pod
	file := "Corefile"
	flag.StringVar(&pod.kubeconfig, "kubeconfig", "", "mount the ConfigMap kube-system/coredns of this cluster as the Corefile")
	flag.StringVar(&pod.port, "port", "53", "what port 53 is outside of a pod")
	flag.StringVar(&pod.health, "health", "127.0.0.1:8080", "where `health` listens outside of a pod")
	flag.StringVar(&pod.ready, "ready", "127.0.0.1:8181", "where `ready` listens outside of a pod")
	flag.StringVar(&pod.metrics, "metrics", "127.0.0.1:9153", "where `prometheus` listens outside of a pod")
	flag.StringVar(&pod.upstream, "upstream", "/etc/resolv.conf", "what /etc/resolv.conf names in this pod")
	flag.StringVar(&file, "mount", file, "where the ConfigMap is mounted; give the same name to -conf")
	flag.Parse()
	if pod.kubeconfig != "" {
		dnsserver.Port = pod.port
		mount, err := pod.mount(context.Background(), file)
		if err != nil {
			log.Fatal(err)
		}
		go mount.follow(context.Background())
	}
	coremain.Run()
	os.Exit(0)
}
