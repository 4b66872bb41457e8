/// The version of every part of Bulkhead on the host (https://semver.org).
public let bulkheadVersion = "0.1.0"
