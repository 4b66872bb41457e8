/// ", did you mean X?" for a known name at most two letters from `name`, else nothing.
func suggestion(for name: String, among known: some Sequence<String>) -> String {
  let nearest = known.map { (name: $0, distance: editDistance($0, name)) }
    .min { ($0.distance, $0.name) < ($1.distance, $1.name) }
  guard let nearest, nearest.distance <= 2, nearest.distance < nearest.name.count else { return "" }
  return "; did you mean \(nearest.name)?"
}

/// Levenshtein's: insertions, deletions and replacements that lead from one to the other. Names
/// longer than any key of ours are no typing mistake, and not worth the quadratic time.
private func editDistance(_ a: String, _ b: String) -> Int {
  let a = Array(a.utf8)
  let b = Array(b.utf8)
  guard a.count <= 64, b.count <= 64 else { return Int.max }
  var row = Array(0...b.count)
  for (i, left) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, right) in b.enumerated() {
      let above = row[j + 1]
      row[j + 1] = min(above + 1, row[j] + 1, diagonal + (left == right ? 0 : 1))
      diagonal = above
    }
  }
  return row[b.count]
}
