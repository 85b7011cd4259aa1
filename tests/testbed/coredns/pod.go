// What a pod gives to CoreDNS and a process on loopback lacks: port 53 of its own, a service account, a resolv.conf.

package main

import "strings"

type pod struct{ kubeconfig, port, health, ready, metrics, upstream string }

// outside is the Corefile with what the pod would give written into it; everything else stays as it is, line by line.
func (p pod) outside(corefile string) string {
	var out []string
	depth := 0
	for _, line := range strings.Split(corefile, "\n") {
		code, _, _ := strings.Cut(line, "#")
		words := strings.Fields(code)
		opens := strings.HasSuffix(strings.TrimSpace(code), "{")
		after := ""
		switch {
		case len(words) == 0:
		case depth == 0 && opens:
			for _, word := range words {
				if strings.HasSuffix(word, ":53") {
					line = strings.Replace(line, word, strings.TrimSuffix(word, "53")+p.port, 1)
				}
			}
			after = "    bind 127.0.0.1"
		case depth != 1:
		case words[0] == "health":
			line = with(words[:1], p.health, opens)
		case words[0] == "ready":
			line = with(words[:1], p.ready, opens)
		case words[0] == "prometheus":
			line = with(words[:1], p.metrics, opens)
		case words[0] == "kubernetes" && opens:
			after = "       kubeconfig " + p.kubeconfig
		case words[0] == "kubernetes":
			line += " {\n       kubeconfig " + p.kubeconfig + "\n    }"
		case words[0] == "forward":
			line = strings.ReplaceAll(line, "/etc/resolv.conf", p.upstream)
		}
		out = append(out, line)
		if after != "" {
			out = append(out, after)
		}
		for _, word := range words {
			switch {
			case strings.HasPrefix(word, "#"):
			case word == "{":
				depth++
			case word == "}":
				depth--
			}
		}
	}
	return strings.Join(out, "\n")
}

func with(words []string, address string, opens bool) string {
	line := "    " + strings.Join(words, " ") + " " + address
	if opens {
		line += " {"
	}
	return line
}
