// The first process of a pod's virtual machine, and under another name the helper that it starts from itself.
import AgentCore
import ContainerInit

if CommandLine.arguments.dropFirst().first == zygoteArgument { runZygote(control: 3) }
runAgent(AgentConfiguration())
