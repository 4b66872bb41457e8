// swift-tools-version:6.2
import PackageDescription

// Warnings are errors in everything that is ours.
let ours: [SwiftSetting] = [.treatAllWarnings(as: .error)]

func library(_ name: String, path: String? = nil, _ dependencies: [Target.Dependency] = [], exclude: [String] = [])
  -> Target
{
  .target(name: name, dependencies: dependencies, path: path, exclude: exclude, swiftSettings: ours)
}

func tests(_ name: String, path: String? = nil, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(name: name, dependencies: dependencies, path: path, exclude: exclude, swiftSettings: ours)
}

let grpc: Target.Dependency = .product(name: "GRPCCore", package: "grpc-swift-2")
let grpcProtobuf: Target.Dependency = .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf")
let protobuf: Target.Dependency = .product(name: "SwiftProtobuf", package: "swift-protobuf")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let subprocess: Target.Dependency = .product(name: "Subprocess", package: "swift-subprocess")
let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let tomlKit: Target.Dependency = .product(name: "TOMLKit", package: "TOMLKit")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioWebSocket: Target.Dependency = .product(name: "NIOWebSocket", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")

let package = Package(
  name: "bulkhead",
  dependencies: [
    .package(url: "https://github.com/grpc/grpc-swift-2", exact: "2.4.3"),
    .package(url: "https://github.com/grpc/grpc-swift-protobuf", exact: "2.4.1"),
    // Without traits it brings no more of Foundation than FoundationEssentials: the guest's size.
    .package(url: "https://github.com/apple/swift-protobuf", exact: "1.39.0", traits: []),
    .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    .package(url: "https://github.com/swiftlang/swift-subprocess", exact: "1.0.2"),
    .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
    .package(url: "https://github.com/LebJe/TOMLKit", exact: "0.6.0"),
    .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
  ],
  targets: [
    // System libraries.
    .systemLibrary(name: "CNGHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
    .systemLibrary(name: "CSeccomp", pkgConfig: "libseccomp", providers: [.apt(["libseccomp-dev"])]),
    .systemLibrary(name: "CCap", pkgConfig: "libcap", providers: [.apt(["libcap-dev"])]),
    .systemLibrary(name: "CISAL", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
    .systemLibrary(name: "CArchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .systemLibrary(name: "CLibvirt", pkgConfig: "libvirt", providers: [.apt(["libvirt-dev"])]),

    // Shared by host and guest.
    .target(name: "CLinux"),
    library("LinuxSystem", ["CLinux"]),
    .target(name: "CNetlink"),
    library("Netlink", ["CNetlink", "LinuxSystem"]),
    library("GRPCNGHTTP2", ["CLinux", "LinuxSystem", "CNGHTTP2", grpc]),
    .target(name: "AgentProtocol", dependencies: [grpc, grpcProtobuf, protobuf], exclude: ["agent.proto"]),

    // The host.
    library("Common"),
    .target(name: "CRI", dependencies: [grpc, grpcProtobuf, protobuf], exclude: ["cri.proto"]),
    .target(name: "OperatorAPI", dependencies: [grpc, grpcProtobuf, protobuf], exclude: ["operator.proto"]),
    library("TOMLText", ["Common", tomlKit]),
    library("BulkheadConfiguration", path: "Sources/Configuration", ["Common", "TOMLText", tomlKit]),
    library("Hashing", ["CCrypto", "Common"]),
    library("Hypervisor", ["Common"]),
    library("CNI", ["CLinux", "Common", "LinuxSystem"]),
    library("PodNetwork", ["CLinux", "CNI", "CNetlink", "Common", "LinuxSystem", "Netlink"]),
    library("HostCgroup", ["Common", "CLinux", "LinuxSystem"]),
    library("PodVolumes", ["Common", "CLinux", "LinuxSystem"]),
    library("ContainerLog", ["Common", "LinuxSystem"]),
    library("OCISpec"),
    library("LayerFormat", ["Common"]),
    library("EROFS", ["LayerFormat"]),
    library(
      "Images",
      [
        "CCrypto", "CCurl", "CLinux", "Common", "EROFS", "Hashing", "LayerFormat", "LinuxSystem", "OCISpec", "TOMLText",
        logging, grdb, tomlKit,
      ]),
    library(
      "Pods",
      [
        "AgentProtocol", "CLinux", "CNI", "Common", "ContainerLog", "GRPCNGHTTP2", "HostCgroup", "Hypervisor", "Images",
        "LinuxSystem", "Netlink", "OCISpec", "PodNetwork", "PodVolumes", grpc, grpcProtobuf, logging, subprocess, grdb,
      ]),
    library("Streaming", ["CZlib", "Common", "Hashing", nioCore, nioPosix, nioHTTP1, nioWebSocket, logging]),
    library(
      "CRIServer",
      [
        "CRI", "Common", "ContainerLog", "GRPCNGHTTP2", "HostCgroup", "Hypervisor", "Images", "LinuxSystem",
        "OperatorAPI", "Pods", "Streaming", grpc, logging,
      ]),
    library(
      "LibvirtHypervisor", ["CLibvirt", "CLinux", "LinuxSystem", "Common", "Hypervisor", "Netlink", "VsockClient"]),
    library(
      "BulkheadCLI",
      ["CLinux", "CRI", "Common", "ContainerLog", "GRPCNGHTTP2", "LinuxSystem", "OperatorAPI", argumentParser, grpc]),
    .target(name: "CVhost"),
    library("VsockDevice", ["CLinux", "CVhost", "CSeccomp", "LinuxSystem"]),
    library("VsockClient", ["CLinux", "LinuxSystem"]),

    // The guest.
    .target(name: "CGuest", path: "guest-agent/Sources/CGuest"),
    library(
      "ContainerInit", path: "guest-agent/Sources/ContainerInit", ["CGuest", "CLinux", "LinuxSystem", "CCap"]),
    library(
      "AgentCore", path: "guest-agent/Sources/AgentCore",
      [
        "CGuest", "CLinux", "CCap", "CSeccomp", "Common", "LinuxSystem", "Netlink", "ContainerInit", "AgentProtocol",
        "GRPCNGHTTP2", grpc,
      ]),
    .executableTarget(
      name: "bulkhead-agent", dependencies: ["AgentCore", "ContainerInit"],
      path: "guest-agent/Sources/bulkhead-agent", swiftSettings: ours),

    // Executables.
    .executableTarget(
      name: "bulkheadd",
      dependencies: [
        "BulkheadConfiguration", "CLinux", "CRIServer", "Common", "GRPCNGHTTP2", "HostCgroup", "Hypervisor", "Images",
        "LibvirtHypervisor", "LinuxSystem", "PodNetwork", "Pods", "Streaming", grpc, logging, argumentParser,
      ], swiftSettings: ours),
    .executableTarget(name: "bulkheadctl", dependencies: ["BulkheadCLI", "ContainerLog"], swiftSettings: ours),
    .executableTarget(
      name: "bulkhead-unpack",
      dependencies: [
        "Common", "Hashing", "LinuxSystem", "CLinux", "LayerFormat", "CArchive", "CISAL", "CZstd", "CSeccomp",
      ], swiftSettings: ours),
    .executableTarget(
      name: "bulkhead-vsock", dependencies: ["Common", "VsockDevice", "LinuxSystem"], swiftSettings: ours),

    // Tests.
    .executableTarget(
      name: "agent-in-namespace", dependencies: ["AgentCore", "ContainerInit", "LinuxSystem"],
      path: "guest-agent/Tests/agent-in-namespace", swiftSettings: ours),
    tests(
      "AgentTests", path: "guest-agent/Tests/AgentTests",
      ["TestSupport", "agent-in-namespace", "AgentProtocol", "GRPCNGHTTP2", "LinuxSystem", grpc]),
    tests("ContainerInitTests", path: "guest-agent/Tests/ContainerInitTests", ["ContainerInit"]),
    tests(
      "AgentCoreTests", path: "guest-agent/Tests/AgentCoreTests",
      ["TestSupport", "AgentCore", "AgentProtocol", "ContainerInit", "CLinux", grpc, protobuf]),
    library("TestSupport", path: "Tests/TestSupport"),
    tests("CommonTests", ["Common"]),
    tests("HashingTests", ["Common", "Hashing"]),
    tests("CNITests", ["CNI", "Common", "LinuxSystem"]),
    tests("NetlinkTests", ["Netlink", "LinuxSystem"]),
    tests("PodNetworkTests", ["CNI", "Common", "Netlink", "PodNetwork"]),
    tests("PodVolumesTests", ["TestSupport", "CLinux", "Common", "LinuxSystem", "PodVolumes"]),
    tests("HostCgroupTests", ["Common", "HostCgroup"]),
    tests("TOMLTextTests", ["TOMLText"]),
    tests("ConfigurationTests", ["BulkheadConfiguration"]),
    tests("ContainerLogTests", ["ContainerLog"]),
    tests("PodsTests", ["AgentProtocol", "Common", "Hypervisor", "Images", "LinuxSystem", "OCISpec", "Pods"]),
    tests("StreamingTests", ["TestSupport", "Common", "LinuxSystem", "Streaming", logging, nioCore]),
    tests("CRIServerTests", ["TestSupport", "CRI", "CRIServer", "Common", "Pods"]),
    .testTarget(
      name: "GRPCNGHTTP2Tests", dependencies: ["TestSupport", "GRPCNGHTTP2", grpc], resources: [.copy("Resources")],
      swiftSettings: ours),
    tests(
      "LibvirtHypervisorTests",
      [
        "TestSupport", "CLinux", "CNetlink", "Common", "Hypervisor", "LibvirtHypervisor", "LinuxSystem", "Netlink",
        "bulkhead-vsock",
      ]),
    tests("OCISpecTests", ["OCISpec"]),
    tests("LayerTests", ["TestSupport", "Common", "Images", "LayerFormat", "bulkhead-unpack"]),
    tests("EROFSTests", ["EROFS", "LayerFormat"]),
    tests(
      "ImagesTests",
      [
        "TestSupport", "Common", "Hashing", "Images", "LinuxSystem", "OCISpec", "bulkhead-unpack", logging, nioCore,
        nioPosix, nioHTTP1,
      ]),
    tests(
      "BulkheadCLITests",
      ["BulkheadCLI", "CRI", "ContainerLog", "GRPCNGHTTP2", "OperatorAPI", grpc, grpcProtobuf, protobuf]),
    tests(
      "VsockDeviceTests",
      ["TestSupport", "CLinux", "CVhost", "Common", "LinuxSystem", "VsockClient", "VsockDevice", "bulkhead-vsock"]),
  ],
  swiftLanguageModes: [.v6]
)
