import Common
import LinuxSystem

/// A question to a pod's guest that is under way.
struct UsageQuestion {
  /// Opens when `answer` has ended.
  let answered: Latch
  let answer: Task<PodUsage?, Never>
}

extension Pod {
  /// Of a guest that has not answered then, its stream is given up.
  private static let longestQuestion = Duration.seconds(15)

  /// What the pod uses: as its guest says now, or where that does not answer in a second, as it said last.
  /// Nil where the pod does not run or never said. Callers who come at the same time and ask for the same
  /// share one question. `withDetails`: of processes, too.
  ///
  /// A question goes on when nobody waits for it any longer, and what comes of it is for the next who asks. So a guest
  /// that is slow, as many are that have only just started, is told of a little late, and not asked anew each time.
  func usage(withDetails: Bool) async -> PodUsage? {
    guard case .ready(let running) = life else { return nil }
    let question = questions[withDetails] ?? ask(running.stats, withDetails)
    guard (try? await within(history.patience, { await question.answered.wait() })) != nil else {
      if !Task.isCancelled { history.didNotAnswer() }
      return history.last
    }
    return await question.answer.value
  }

  private func ask(_ stats: StatsStream, _ withDetails: Bool) -> UsageQuestion {
    let answered = Latch()
    let question = UsageQuestion(
      answered: answered,
      answer: Task {
        let answer = await answer(stats, withDetails)
        questions[withDetails] = nil
        answered.open()
        return answer
      })
    questions[withDetails] = question
    return question
  }

  private func answer(_ stats: StatsStream, _ withDetails: Bool) async -> PodUsage? {
    let start = ContinuousClock.now
    do {
      let answer = try await stats.ask(withDetails: withDetails, within: Self.longestQuestion)
      let usage = PodUsage(answer, pod: id, time: now(), known: Set(containers.keys))
      return history.add(usage, at: .now, after: .now - start)
    } catch {
      logger.debug("no stats of the pod", metadata: ["error": "\(error)"])
      history.didNotAnswer()
      return history.last
    }
  }

  /// The machine is going: nobody will answer.
  func giveUpQuestions() {
    for question in questions.values { question.answer.cancel() }
  }
}

extension PodManager {
  /// What these pods use, and with details what their containers' processes have open and do; all asked at the same
  /// time. A pod that does not run, or hangs and never answered, is
  /// not in it.
  public func usage(of ids: some Collection<PodID>, withDetails: Bool = false) async -> [PodID: PodUsage] {
    let asked = ids.compactMap { pods[$0] }
    return await withTaskGroup(of: PodUsage?.self) { group in
      for pod in asked { group.addTask { await pod.usage(withDetails: withDetails) } }
      var answers: [PodID: PodUsage] = [:]
      for await answer in group {
        if let answer { answers[answer.podID] = answer }
      }
      return answers
    }
  }
}
