import LinuxSystem
import TestSupport
import Testing

@testable import AgentCore

@Suite struct KernelTextTests {
  @Test func numbersAndTheirWords() {
    #expect(KernelText("4096\n").number == 4096)
    #expect(KernelText("max\n").number == .max)
    #expect(KernelText("").number == 0)
    #expect(KernelText("99999999999999999999999\n").number == .max)
    let text = KernelText("anon 12\nfile 0\nfile_mapped 7\nkernel 9")
    #expect(text.values(["kernel", "anon", "missing", "file_mapped"].map { Array($0.utf8) }) == [9, 12, 0, 7])
  }

  @Test func pressureInHundredths() {
    let text = "some avg10=1.53 avg60=0.87 avg300=100.00 total=4242\nfull avg10=0.00 total=7"
    let lines = KernelText(text).pressure
    #expect(lines.map(\.isFull) == [false, true])
    #expect(lines.map(\.values) == [[153, 87, 10_000, 4242], [0, 7, 0, 0]])
    #expect(KernelText("some a=1 b=2 c=3 d=4 e=5\n\n").pressure.map(\.values) == [[1, 2, 3, 4], [0, 0, 0, 0]])
    #expect(KernelText("").pressure.isEmpty)
  }

  @Test func statesAndLimitsOfProcesses() {
    #expect(processState(Array("7 (a) R (b)) T 1 7".utf8)) == UInt8(ascii: "T"))
    #expect(processState(Array("7 (cat)".utf8)) == nil)
    #expect(processState([]) == nil)
    let limits = "Limit   Soft Limit   Hard Limit\nMax open files     1024    unlimited  files\n"
    #expect(openFilesLimit(Array(limits.utf8)) == 1024)
    #expect(openFilesLimit(Array("Max open files   unlimited  unlimited  files".utf8)) == .max)
    #expect(openFilesLimit(Array("Max open files".utf8)) == 0)
    #expect(openFilesLimit([]) == 0)
  }

  @Test func wordsWithValues() {
    let lines = KernelText("8:0 rbytes=90112 wbytes=0 rios=7\n").lines
    #expect(KernelText.value("rbytes", lines[0]) == 90112 && KernelText.value("rios", lines[0]) == 7)
    #expect(KernelText.value("wios", lines[0]) == 0)
  }

  @Test func randomBytesHarmNothing() {
    var random = SeededRandom(seed: 42)
    let alphabet = Array("0123456789max =:.\n\tsomefull\u{0}".utf8) + [0xff]
    for _ in 0..<2000 {
      let bytes = (0..<Int.random(in: 0...200, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? 0 }
      let text = KernelText(bytes)
      _ = (text.number, text.pressure, text.values([[0x30], []]), text.lines.map { KernelText.value("some", $0) })
      _ = numberRanges(Substring(decoding: bytes, as: UTF8.self))
    }
  }
}

@Suite struct NumberRangeTests {
  @Test func listsOfTheKernels() {
    #expect(numberRanges("0-3,6") == [0...3, 6...6])
    #expect(numberRanges("0,1,2") == [0...2])
    #expect(numberRanges("4294967295") == [UInt32.max...UInt32.max])
  }

  @Test(arguments: ["", ",", "1-", "-1", "3-1", "a", "1,,2", "+1", "1-2-3", "4294967296", "0 "])
  func nothingElse(_ text: String) { #expect(numberRanges(text[...]) == nil) }
}
