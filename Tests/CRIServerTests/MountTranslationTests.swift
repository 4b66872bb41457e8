import CRI
import Common
import Pods
import Testing

@testable import CRIServer

@Suite struct MountTranslationTests {
  private func mount(_ change: (inout Runtime_V1_Mount) -> Void = { _ in }) -> Runtime_V1_Mount {
    .with {
      $0.containerPath = "/data"
      $0.hostPath = "/srv/data"
      change(&$0)
    }
  }

  private func refusal(_ change: (inout Runtime_V1_Mount) -> Void) -> BulkheadError? {
    #expect(throws: BulkheadError.self) { try volumeMounts([mount(change)]) }
  }

  @Test func aPlainMountIsTakenAndShownAgain() throws {
    let asked = mount {
      $0.readonly = true
      $0.recursiveReadOnly = true
    }
    let taken = try #require(try volumeMounts([asked]).first)
    #expect(taken.source == .host(path: "/srv/data", .private))
    #expect(taken.readonly == .recursive)
    #expect(Runtime_V1_Mount(taken) == asked)
  }

  @Test func pathsAreNormalized() throws {
    #expect(try volumeMounts([mount { $0.containerPath = "//a/./b/" }]).first?.destination == "/a/b")
  }

  @Test func placesThatMustStay() {
    for path in ["/", "//.", "/proc", "/proc/self", "/./proc/sys", "/a/../proc", "a", "", "/a\0b"] {
      #expect(refusal { $0.containerPath = path }?.code == .invalidArgument, "\(path)")
    }
    #expect(throws: Never.self) { try volumeMounts([mount { $0.containerPath = "/process" }]) }
  }

  @Test func recursiveReadOnlyNeedsReadOnlyAndPrivate() {
    #expect(refusal { $0.recursiveReadOnly = true }?.code == .invalidArgument)
    let slave = refusal {
      $0.readonly = true
      $0.recursiveReadOnly = true
      $0.propagation = .propagationHostToContainer
    }
    #expect(slave?.code == .invalidArgument)
  }

  @Test func anImageStandsAlone() throws {
    let image = mount {
      $0.hostPath = ""
      $0.image.image = "example.org/data:1"
      $0.imageSubPath = "a/b"
    }
    #expect(try volumeMounts([image]).first?.source == .image(reference: "example.org/data:1", subPath: "a/b"))
    #expect(refusal { $0.image.image = "example.org/data:1" }?.message.contains("both") == true)
    let escaping = mount {
      $0.hostPath = ""
      $0.image.image = "example.org/data:1"
      $0.imageSubPath = "../b"
    }
    #expect(throws: BulkheadError.self) { try volumeMounts([escaping]) }
  }

  @Test func whatAVirtualMachineCannotGive() {
    #expect(refusal { $0.uidMappings = [.init()] }?.code == .unimplemented)
    let cdi = Runtime_V1_ContainerConfig.with { $0.cdiDevices = [.with { $0.name = "vendor.example/gpu=0" }] }
    let error = #expect(throws: BulkheadError.self) { try hostDevices(cdi) }
    #expect(error?.message.contains("vendor.example/gpu=0") == true)
  }

  @Test func permissionsOfDevices() throws {
    func device(_ permissions: String) throws -> HostDevice? {
      try hostDevices(
        .with {
          $0.devices = [
            .with {
              $0.hostPath = "/dev/x"
              $0.permissions = permissions
            }
          ]
        }
      ).first
    }
    #expect(try device("")?.permissions == [.read, .write, .makeNode])
    #expect(try device("r")?.permissions == [.read])
    #expect(try device("mr")?.permissions.letters == "rm")
    #expect(throws: BulkheadError.self) { try device("x") }
    #expect(try device("r")?.destination == "/dev/x")
  }
}
