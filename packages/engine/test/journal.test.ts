import t from 'tap'
import { ResultJournal } from '../src/shared/journal.ts'

t.test('the other thread reads what was appended since the last clear', (t) => {
  const journal = new ResultJournal(new SharedArrayBuffer(200))
  journal.append(1, 10, 73, Uint8Array.of(9))
  journal.clear()
  t.ok(journal.append(7, 2 ** 45, 73, Uint8Array.of(1, 2, 3)))
  t.ok(journal.append(8, 5, 69, new Uint8Array(0)))
  t.same(new ResultJournal(journal.buffer).read(), [
    { seq: 7, lsn: 2 ** 45, status: 73, output: Uint8Array.of(1, 2, 3) },
    { seq: 8, lsn: 5, status: 69, output: new Uint8Array(0) },
  ])
  t.notOk(journal.append(9, 5, 73, new Uint8Array(150)), 'no room')
  t.equal(journal.read().length, 2)
  t.end()
})
