package main

import (
	"bufio"
	"context"
	"cri"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
)

func (daemon client) exec(ctx context.Context, pod pod, timeout int64, command ...string) (*cri.ExecSyncResponse, error) {
	return daemon.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: pod.container, Cmd: command, Timeout: timeout})
}

func (daemon client) shell(seconds float64, pod pod, script string) *cri.ExecSyncResponse {
	ctx, cancel := within(seconds)
	defer cancel()
	answer, err := daemon.exec(ctx, pod, 0, "/bin/sh", "-c", script)
	must(script, err)
	return answer
}

func commands(daemon client, pod pod) {
	answer := daemon.shell(30, pod, "echo out; echo err >&2; exit 5")
	report("exec", fields{"stdout": string(answer.Stdout), "stderr": string(answer.Stderr), "exit": answer.ExitCode})
}

// largeMessages come and go in many frames, for whose sake grpc-go pings and widens its windows.
func largeMessages(daemon client, pod pod) {
	start := time.Now()
	received := []int{}
	for round := 0; round < 3; round++ {
		received = append(received, len(daemon.shell(60, pod, "dd if=/dev/zero bs=1M count=15 2>/dev/null").Stdout))
	}
	report("large answers", fields{"received": received, "seconds": time.Since(start).Seconds()})

	ctx, cancel := within(30)
	defer cancel()
	start = time.Now()
	selector := map[string]string{"label": strings.Repeat("x", 15<<20)}
	answer, err := daemon.ListContainers(ctx, &cri.ListContainersRequest{Filter: &cri.ContainerFilter{LabelSelector: selector}})
	if err != nil {
		report("large request", failed(err, start))
		return
	}
	report("large request", fields{"found": len(answer.Containers), "seconds": time.Since(start).Seconds()})
}

func runs(daemon client, pod pod, text string) bool {
	return strings.Contains(string(daemon.shell(30, pod, "ps -o args").Stdout), text)
}

// gone says whether what a command runs as disappears soon.
func gone(daemon client, pod pod, text string) bool {
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(100 * time.Millisecond) {
		if !runs(daemon, pod, text) {
			return true
		}
	}
	return false
}

func deadlines(daemon client, pod pod) {
	ctx, cancel := within(1)
	defer cancel()
	start := time.Now()
	_, err := daemon.exec(ctx, pod, 0, "/bin/sleep", "4567891")
	what := failed(err, start)
	what["gone"] = gone(daemon, pod, "4567891")
	report("the client's deadline", what)

	start = time.Now()
	long, cancelLong := within(30)
	defer cancelLong()
	_, err = daemon.exec(long, pod, 1, "/bin/sleep", "5678912")
	what = failed(err, start)
	what["gone"] = gone(daemon, pod, "5678912")
	report("the command's timeout", what)
}

// cancellations of streams and of calls with data under way leave the connection as it was, its window too.
func cancellations(daemon client, pod pod) {
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := daemon.GetContainerEvents(ctx, &cri.GetEventsRequest{})
	must("GetContainerEvents", err)
	time.AfterFunc(300*time.Millisecond, cancel)
	start := time.Now()
	for err == nil {
		_, err = stream.Recv()
	}
	report("a cancelled stream", failed(err, start))

	for round := 0; round < 10; round++ {
		ctx, cancel := context.WithCancel(context.Background())
		list := make(chan error, 1)
		go func() {
			selector := map[string]string{"label": strings.Repeat("x", 8<<20)}
			_, err := daemon.ListContainers(ctx, &cri.ListContainersRequest{Filter: &cri.ContainerFilter{LabelSelector: selector}})
			list <- err
		}()
		time.Sleep(time.Duration(round) * time.Millisecond)
		cancel()
		<-list
	}
	ctx, cancel = context.WithCancel(context.Background())
	time.AfterFunc(time.Second, cancel)
	start = time.Now()
	_, err = daemon.exec(ctx, pod, 0, "/bin/sh", "-c", "yes 6789123")
	what := failed(err, start)
	what["gone"] = gone(daemon, pod, "yes 6789123")
	what["afterwards"] = len(daemon.shell(60, pod, "dd if=/dev/zero bs=1M count=15 2>/dev/null").Stdout)
	report("cancelled calls", what)
}

// parallel sends 100 calls at once on the one connection, each with an answer of its own.
func parallel(daemon client, pod pod) {
	var group sync.WaitGroup
	var mutex sync.Mutex
	right, errors := 0, []string{}
	start := time.Now()
	one := func(number int) error {
		ctx, cancel := within(60)
		defer cancel()
		if number%10 == 0 {
			answer, err := daemon.exec(ctx, pod, 0, "/bin/echo", fmt.Sprint(number))
			if err == nil && string(answer.Stdout) != fmt.Sprintln(number) {
				err = fmt.Errorf("call %d was answered %q", number, answer.Stdout)
			}
			return err
		}
		answer, err := daemon.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: pod.container[:12+number%52]})
		if err == nil && answer.Status.Id != pod.container {
			err = fmt.Errorf("call %d was answered of %s", number, answer.Status.Id)
		}
		return err
	}
	for number := 0; number < 100; number++ {
		group.Add(1)
		go func(number int) {
			defer group.Done()
			err := one(number)
			mutex.Lock()
			defer mutex.Unlock()
			if err == nil {
				right++
			} else {
				errors = append(errors, err.Error())
			}
		}(number)
	}
	group.Wait()
	report("parallel", fields{"right": right, "errors": errors, "seconds": time.Since(start).Seconds()})
}

func refusals(daemon client) {
	ctx, cancel := within(30)
	defer cancel()
	start := time.Now()
	unknown := strings.Repeat("0", 64)
	_, err := daemon.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: unknown})
	report("an unknown container", failed(err, start))
	_, err = daemon.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: unknown})
	report("an unknown pod", failed(err, start))
	_, err = daemon.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{})
	report("an empty request", failed(err, start))
	_, err = daemon.CheckpointContainer(ctx, &cri.CheckpointContainerRequest{ContainerId: unknown})
	report("a checkpoint", failed(err, start))
	// What kubelets of other versions ask for.
	for _, method := range []string{"/runtime.v1.RuntimeService/NoSuchCall", "/runtime.v1alpha2.RuntimeService/Version"} {
		err = daemon.connection.Invoke(ctx, method, &cri.VersionRequest{}, &cri.VersionResponse{})
		report(method, failed(err, start))
	}
}

// acrossRestart keeps a connection and a stream while the caller restarts the daemon, and says on standard
// output when it may.
func acrossRestart(socket string) {
	daemon := dial(socket, grpc.WithAuthority("localhost"))
	introduce("version", daemon)
	stream, err := daemon.GetContainerEvents(context.Background(), &cri.GetEventsRequest{})
	must("GetContainerEvents", err)
	_, err = stream.Header()
	must("GetContainerEvents' header", err)
	report("ready", fields{})
	start := time.Now()
	_, err = stream.Recv()
	if err == nil {
		fail("an event came though nothing happened")
	}
	report("the stream ended", failed(err, start))
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	must("the caller's line", err)
	ctx, cancel := within(20)
	defer cancel()
	start = time.Now()
	_, err = daemon.Version(ctx, &cri.VersionRequest{}, grpc.WaitForReady(true))
	must("Version after the restart", err)
	report("connected again", fields{"seconds": time.Since(start).Seconds()})
}
