import t from 'tap'
import { MirabelleError } from '@mirabelle/messages'
import { ReceivedEnd } from '../src/receiver/received-end.ts'

const SEGMENT = 16 * 1024

t.test('nothing is claimed before the end of what is there was compared with the sender', (t) => {
  const end = new ReceivedEnd({ timeline: 1, receivedEnd: SEGMENT + 100 })
  t.same(end.beginOn(1, SEGMENT, 0), { lsn: SEGMENT, lastRecord: undefined })
  t.notOk(end.isCompared, 'an earlier process received it: the sender may have written something else')
  end.keep({ end: SEGMENT + 50, lastRecord: SEGMENT + 40 })
  t.notOk(end.isCompared, 'not to its end')
  end.keep({ end: SEGMENT + 100, lastRecord: SEGMENT + 50 })
  t.ok(end.isCompared)
  t.same(end.beginOn(1, SEGMENT, 0), { lsn: SEGMENT + 100, lastRecord: SEGMENT + 50 })
  end.compareAnew()
  t.notOk(end.isCompared, 'whoever is connected to now may have been restarted')
  t.same(end.beginOn(1, SEGMENT, 0), { lsn: SEGMENT, lastRecord: undefined })
  end.keep({ end: SEGMENT + 100, lastRecord: SEGMENT + 50 })
  t.ok(end.isCompared)
  end.follow(2, [{ timeline: 1, end: SEGMENT + 100 }])
  t.notOk(end.isCompared, 'the files of a new timeline hold nothing yet')
  t.end()
})

t.test('where a segment ends all of it is compared, when the sender still has it', (t) => {
  const end = new ReceivedEnd({ timeline: 1, receivedEnd: 3 * SEGMENT })
  t.same(end.beginOn(1, SEGMENT, 2 * SEGMENT), { lsn: 2 * SEGMENT, lastRecord: undefined })
  t.notOk(end.isCompared)
  t.same(end.beginOn(1, SEGMENT, 2 * SEGMENT + 8), { lsn: 3 * SEGMENT, lastRecord: undefined })
  t.ok(end.isCompared, 'there is nothing to compare')
  end.follow(2, [{ timeline: 1, end: 3 * SEGMENT }])
  t.notOk(end.isCompared)
  t.same(new ReceivedEnd({ timeline: 1, receivedEnd: 0 }).beginOn(1, SEGMENT, 0).lsn, 0)
  t.end()
})

t.test('WAL that the sender has removed is a loss only when it is needed', (t) => {
  const removed = new MirabelleError('wal.removed', 'gone')
  const end = new ReceivedEnd({ timeline: 1, receivedEnd: 3 * SEGMENT })
  end.beginOn(1, SEGMENT, 0)
  t.equal(end.meaningOf(removed, SEGMENT).code, 'connection.lost', 'it was to be compared')
  const other = new MirabelleError('wal.ahead', 'more')
  t.equal(end.meaningOf(other, SEGMENT), other)
  end.beginOn(1, SEGMENT, 3 * SEGMENT)
  t.equal(end.meaningOf(removed, SEGMENT), removed)
  t.end()
})
