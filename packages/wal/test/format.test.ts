import t from 'tap'
import {
  fileTimeline,
  forkPoint,
  formatHistory,
  historyFileName,
  isAncestor,
  parseHistory,
  parseHistoryFileName,
  parseWalFileName,
  timelineSpans,
  walFileName,
} from '../src/index.ts'

const MB = 1024 * 1024

t.test('names of WAL segments are those of PostgreSQL for every segment size, and read back', (t) => {
  const cases: [number, number, number, string][] = [
    [1, 0, MB, '000000010000000000000000'],
    [1, 0x1000000, MB, '000000010000000000000010'],
    [1, 0xffffffff, MB, '000000010000000000000FFF'],
    [1, 0x100000000, MB, '000000010000000100000000'],
    [0x1f, 0x16b374d848, 16 * MB, '0000001F00000016000000B3'],
    [2, 0x40000000, 1024 * MB, '000000020000000000000001'],
  ]
  for (const [timeline, lsn, size, name] of cases) {
    t.equal(walFileName(timeline, lsn, size), name)
    t.same(parseWalFileName(name, size), { timeline, start: lsn - (lsn % size) })
  }
  for (const bad of [
    '',
    '00000001000000000000001',
    '000000010000000000001000',
    '000000000000000000000001',
    '000000010000000000000003.partial',
    '00000001.history',
    '00000001000000000000000g',
  ])
    t.equal(parseWalFileName(bad, MB), undefined, bad)
  t.equal(historyFileName(0x1a), '0000001A.history')
  t.equal(parseHistoryFileName('0000001A.history'), 0x1a)
  t.equal(parseHistoryFileName('00000000.history'), undefined)
  t.end()
})

t.test('a history file is read as PostgreSQL writes it, and bad ones are named', (t) => {
  const text = '1\t0/1A2B3C8\tno recovery target specified\n\n# a note\n3\t2/40\tbefore 2000-01-01\n'
  const entries = parseHistory(text, 4)
  t.same(entries, [
    { timeline: 1, end: 0x1a2b3c8 },
    { timeline: 3, end: 0x200000040 },
  ])
  t.same(parseHistory(formatHistory(entries), 4), entries)
  t.same(parseHistory('', 1), [])
  for (const bad of [
    'x',
    '1',
    '1 17',
    '2\t0/1\n1\t0/2',
    '4\t0/1',
    '0\t0/1',
    '1\tFFFFFFFF/0',
    '1\t0/9\n2\t0/8',
  ])
    t.throws(() => parseHistory(bad, 4), { code: 'datadir.broken' }, bad)
  t.equal(forkPoint(entries, 3), 0x200000040)
  t.equal(forkPoint(entries, 2), undefined)
  t.ok(isAncestor(entries, 4, 1))
  t.ok(isAncestor(entries, 4, 4))
  t.notOk(isAncestor(entries, 4, 2))
  t.end()
})

t.test('a segment belongs to the newest timeline that has begun in it', (t) => {
  const spans = timelineSpans(
    [
      { timeline: 1, end: 2.5 * MB },
      { timeline: 2, end: 4 * MB },
      { timeline: 3, end: 4 * MB + 8 },
    ],
    4,
  )
  const owners = [0, 1, 2, 3, 4, 5].map((segment) => fileTimeline(spans, segment * MB, MB))
  t.same(owners, [1, 1, 2, 2, 4, 4])
  t.equal(fileTimeline(spans, 4 * MB - 1, MB), 2)
  t.end()
})
