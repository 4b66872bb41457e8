// A CRI client on grpc-go, the library of the kubelet and crictl. It does with the daemon what a kubelet
// does and prints what it saw, a line of JSON a step, for test_grpcgo.py to judge. Where something is not
// even as it must be to go on, it says so and exits with 1.
package main

import (
	"context"
	"cri"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// What the kubelet allows a message to have.
const maxMessage = 16 << 20

type client struct {
	connection *grpc.ClientConn
	cri.RuntimeServiceClient
}

// fields of a step's line.
type fields map[string]interface{}

func report(step string, what fields) {
	what["step"] = step
	line, err := json.Marshal(what)
	must("a line", err)
	fmt.Println(string(line))
}

func must(what string, err error) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

func fail(format string, arguments ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

// failed is how a call ended, as a step's fields.
func failed(err error, start time.Time) fields {
	code := status.Code(err).String()
	if err == io.EOF {
		code = "EOF"
	}
	return fields{"code": code, "message": status.Convert(err).Message(), "seconds": time.Since(start).Seconds()}
}

func within(seconds float64) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Duration(seconds*float64(time.Second)))
}

// dial as the kubelet does: no TLS, a dialer of its own, and what grpc-go does unasked, such as pings to
// estimate the bandwidth-delay product while data arrives.
func dial(socket string, options ...grpc.DialOption) client {
	options = append(options, grpc.WithInsecure(), grpc.WithBlock(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", address)
		}))
	ctx, cancel := within(10)
	defer cancel()
	connection, err := grpc.DialContext(ctx, socket, options...)
	must("connecting to "+socket, err)
	return client{connection, cri.NewRuntimeServiceClient(connection)}
}

func main() {
	socket := flag.String("socket", "", "the daemon's socket")
	image := flag.String("image", "", "an image that is there, of busybox")
	logs := flag.String("logs", "", "a directory for logs")
	restarted := flag.Bool("restarted", false, "only look at what a restart of the daemon does")
	flag.Parse()
	if *restarted {
		acrossRestart(*socket)
		return
	}
	// Older kubelets, and whoever does not name an authority, send the socket's path as it.
	old := dial(*socket)
	introduce("version, the path as authority", old)
	must("closing", old.connection.Close())

	daemon := dial(*socket, grpc.WithAuthority("localhost"))
	introduce("version", daemon)
	condition(daemon)
	events := listen(daemon)
	pod := startPod(daemon, *image, *logs)
	commands(daemon, pod)
	largeMessages(daemon, pod)
	deadlines(daemon, pod)
	cancellations(daemon, pod)
	parallel(daemon, pod)
	refusals(daemon)
	endPod(daemon, pod)
	events.report(pod)
	introduce("version, at the end", daemon)
}
