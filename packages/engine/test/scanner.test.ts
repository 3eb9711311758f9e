import t from 'tap'
import { BackendScanner } from '../src/worker/backend-scanner.ts'
import { syncEnds } from '../src/worker/frontend-cuts.ts'
import { message } from './support/kit.ts'

const STREAM = Buffer.concat([
  message('T', Buffer.alloc(30)),
  message('D', Buffer.from('ZZZZ\0\0\0\x05I')),
  message('C', Buffer.from('SELECT 1\0')),
  message('Z', Buffer.from('I')),
  message('G', Buffer.alloc(3)),
  message('E', Buffer.from('SERROR\0\0')),
  message('n'),
  message('Z', Buffer.from('E')),
])

function scan(pieces: readonly Uint8Array[]): string[] {
  const seen: string[] = []
  let base = 0
  const scanner = new BackendScanner({
    ready: (end, status) => seen.push(`ready ${base + end} ${String.fromCharCode(status)}`),
    error: () => seen.push('error'),
    copyIn: () => seen.push('copy in'),
  })
  for (const piece of pieces) {
    scanner.feed(piece)
    base += piece.length
  }
  return seen
}

t.test('message borders are found wherever the answer is cut', (t) => {
  const whole = scan([STREAM])
  t.same(
    whole,
    ['ready 65 I', 'copy in', 'error', `ready ${STREAM.length} E`].map((one) =>
      one.replace('65', String(STREAM.indexOf('Z\0\0\0\x05I', 50, 'latin1') + 6)),
    ),
  )
  for (let cut = 1; cut < STREAM.length; cut++)
    t.same(scan([STREAM.subarray(0, cut), STREAM.subarray(cut)]), whole)
  t.same(scan([...STREAM].map((byte) => Uint8Array.of(byte))), whole)
  t.end()
})

t.test('the ends of Query and Sync messages are found, and a cut message is noticed', (t) => {
  const bytes = Buffer.concat([
    message('Q', Buffer.from('a\0')),
    message('P', Buffer.alloc(9)),
    message('S'),
    message('Q', Buffer.from('S\0')),
  ])
  t.same(syncEnds(bytes, 3), [7, 26, 33])
  t.same(syncEnds(bytes, 1), [7])
  t.equal(syncEnds(bytes, 4), undefined)
  t.equal(syncEnds(bytes.subarray(0, 30), 3), undefined)
  t.end()
})
