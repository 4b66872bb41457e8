/// The version of every part of Bulkhead, in the guest too (https://semver.org).
public let bulkheadVersion = "0.1.0"
