import t from 'tap'
import { ReceivedEnd } from '../src/receiver/received-end.ts'

const SEGMENT = 16 * 1024

t.test('nothing is claimed before the end of what is there was compared with the sender', (t) => {
  const end = new ReceivedEnd({ timeline: 1, receivedEnd: SEGMENT + 100 })
  t.notOk(
    end.isCompared(SEGMENT),
    'an earlier process received it: the sender may have written something else',
  )
  end.keep({ end: SEGMENT + 50, lastRecord: SEGMENT + 40 })
  t.notOk(end.isCompared(SEGMENT), 'not to its end')
  end.keep({ end: SEGMENT + 100, lastRecord: SEGMENT + 50 })
  t.ok(end.isCompared(SEGMENT))
  t.same(end.beginOn(1, SEGMENT), { lsn: SEGMENT + 100, lastRecord: SEGMENT + 50 })
  end.compareAnew()
  t.notOk(end.isCompared(SEGMENT), 'whoever is connected to now may have been restarted')
  t.same(end.beginOn(1, SEGMENT), { lsn: SEGMENT, lastRecord: undefined })
  end.keep({ end: SEGMENT + 100, lastRecord: SEGMENT + 50 })
  t.ok(end.isCompared(SEGMENT))
  end.follow(2, [{ timeline: 1, end: SEGMENT + 100 }])
  t.notOk(end.isCompared(SEGMENT), 'the files of a new timeline hold nothing yet')
  t.end()
})

t.test('where a segment ends there is nothing to compare', (t) => {
  const end = new ReceivedEnd({ timeline: 1, receivedEnd: 2 * SEGMENT })
  t.ok(end.isCompared(SEGMENT))
  end.follow(2, [{ timeline: 1, end: 2 * SEGMENT }])
  t.notOk(end.isCompared(SEGMENT))
  t.end()
})
