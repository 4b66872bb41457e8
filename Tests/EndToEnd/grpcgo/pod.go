package main

import (
	"context"
	"cri"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

type pod struct {
	config    *cri.PodSandboxConfig
	id        string
	container string
}

func introduce(step string, daemon client) {
	ctx, cancel := within(10)
	defer cancel()
	answer, err := daemon.Version(ctx, &cri.VersionRequest{})
	must(step, err)
	report(step, fields{"runtime": answer.RuntimeName, "api": answer.RuntimeApiVersion})
}

func condition(daemon client) {
	ctx, cancel := within(10)
	defer cancel()
	answer, err := daemon.Status(ctx, &cri.StatusRequest{Verbose: true})
	must("Status", err)
	conditions := map[string]bool{}
	for _, one := range answer.Status.Conditions {
		conditions[one.Type] = one.Status
	}
	report("status", fields{"conditions": conditions, "info": len(answer.Info)})
}

// startPod is what a kubelet does for a pod of one container.
func startPod(daemon client, image string, logs string) pod {
	ctx, cancel := within(120)
	defer cancel()
	name := fmt.Sprintf("grpcgo-%d", time.Now().UnixNano())
	config := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Uid: name, Namespace: "tests"},
		Hostname:     "grpcgo",
		LogDirectory: logs,
		Labels:       map[string]string{"client": "grpc-go"},
		Linux:        &cri.LinuxPodSandboxConfig{Resources: &cri.LinuxContainerResources{MemoryLimitInBytes: 256 << 20}},
	}
	run, err := daemon.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: config})
	must("RunPodSandbox", err)
	sandbox, err := daemon.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: run.PodSandboxId})
	must("PodSandboxStatus", err)
	container := &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "main"},
		Image:    &cri.ImageSpec{Image: image},
		Command:  []string{"/bin/sleep", "100000"},
		LogPath:  "main.log",
	}
	created, err := daemon.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId: run.PodSandboxId, Config: container, SandboxConfig: config,
	})
	must("CreateContainer", err)
	_, err = daemon.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: created.ContainerId})
	must("StartContainer", err)
	told, err := daemon.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: created.ContainerId})
	must("ContainerStatus", err)
	report("started", fields{
		"pod": sandbox.Status.State.String(), "labels": sandbox.Status.Labels, "name": sandbox.Status.Metadata.Name == name,
		"container": told.Status.State.String(), "image": told.Status.Image.Image,
		"log": told.Status.LogPath == filepath.Join(logs, "main.log"),
	})
	return pod{config, run.PodSandboxId, created.ContainerId}
}

func endPod(daemon client, pod pod) {
	ctx, cancel := within(60)
	defer cancel()
	_, err := daemon.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: pod.container, Timeout: 1})
	must("StopContainer", err)
	told, err := daemon.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: pod.container})
	must("ContainerStatus", err)
	report("stopped", fields{"container": told.Status.State.String(), "exit": told.Status.ExitCode})
	// A kubelet that was restarted asks again.
	for round := 0; round < 2; round++ {
		_, err = daemon.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: pod.container})
		must("RemoveContainer", err)
		_, err = daemon.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: pod.id})
		must("StopPodSandbox", err)
	}
	for round := 0; round < 2; round++ {
		_, err = daemon.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: pod.id})
		must("RemovePodSandbox", err)
	}
	left, err := daemon.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{Filter: &cri.PodSandboxFilter{Id: pod.id}})
	must("ListPodSandbox", err)
	report("removed", fields{"left": len(left.Items)})
}

// listener collects events on a stream of its own while everything else happens.
type listener struct {
	mutex  sync.Mutex
	events []*cri.ContainerEventResponse
}

func listen(daemon client) *listener {
	stream, err := daemon.GetContainerEvents(context.Background(), &cri.GetEventsRequest{})
	must("GetContainerEvents", err)
	// The header comes when the stream is served: what happens from then on is told.
	_, err = stream.Header()
	must("GetContainerEvents' header", err)
	listener := &listener{}
	go func() {
		for {
			event, err := stream.Recv()
			must("an event", err)
			listener.mutex.Lock()
			listener.events = append(listener.events, event)
			listener.mutex.Unlock()
		}
	}()
	return listener
}

// report tells the pod's events, once its last one is there.
func (listener *listener) report(pod pod) {
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
		seen := map[string][]string{pod.id: {}, pod.container: {}}
		listener.mutex.Lock()
		for _, event := range listener.events {
			if of, known := seen[event.ContainerId]; known {
				seen[event.ContainerId] = append(of, event.ContainerEventType.String())
			}
		}
		listener.mutex.Unlock()
		if of := seen[pod.id]; len(of) > 0 && of[len(of)-1] == "CONTAINER_DELETED_EVENT" {
			report("events", fields{"pod": of, "container": seen[pod.container]})
			return
		}
	}
	fail("the pod's last event did not come")
}
