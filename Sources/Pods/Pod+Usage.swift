import Common

extension Pod {
  /// What the pod uses: as its guest says now, or where that does not answer in a second, as it said last.
  /// Nil where the pod does not run or never said. Callers who come at the same time and ask for the same
  /// share one question. `withDetails`: of processes, too.
  func usage(withDetails: Bool) async -> PodUsage? {
    if let question = questions[withDetails] { return await question.value }
    guard case .ready(let running) = life else { return nil }
    let task = Task { await ask(running.stats, withDetails) }
    questions[withDetails] = task
    defer { questions[withDetails] = nil }
    return await task.value
  }

  private func ask(_ stats: StatsStream, _ withDetails: Bool) async -> PodUsage? {
    let known = Set(containers.keys)
    do {
      let answer = try await stats.ask(withDetails: withDetails, within: history.patience)
      return history.add(PodUsage(answer, pod: id, time: now(), known: known), at: .now)
    } catch {
      logger.debug("no stats of the pod", metadata: ["error": "\(error)"])
      history.didNotAnswer()
      return history.last
    }
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
