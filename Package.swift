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
  ],
  targets: [
    // Shared by host and guest.
    .target(name: "CLinux"),
    library("LinuxSystem", ["CLinux"]),
    .target(name: "AgentProtocol", dependencies: [grpc, grpcProtobuf, protobuf], exclude: ["agent.proto"]),

    // The host.
    library("Common"),
    .target(name: "CRI", dependencies: [grpc, grpcProtobuf, protobuf], exclude: ["cri.proto"]),
    .target(name: "OperatorAPI", dependencies: [grpc, grpcProtobuf, protobuf], exclude: ["operator.proto"]),
    library("Hypervisor", ["Common"]),
    library("PodNetwork", ["Common", "CLinux", "LinuxSystem"]),
  ],
  swiftLanguageModes: [.v6]
)
