/** The judgement of a soak, and its options. The soak itself is `npm run soak`. */
import t from 'tap'
import { Counters } from '../src/soak/counters.ts'
import type { Footprint } from '../src/soak/footprint.ts'
import { growthBetween } from '../src/soak/growth.ts'
import { parseSoakArgs, WrongOption } from '../src/soak/soak-options.ts'

const process = (name: string, rssMiB: number, fds: number, threads: number) => ({
  pid: 1,
  name,
  rssMiB,
  fds,
  threads,
})
const before: Footprint = {
  processes: [process('agent host1', 70, 20, 11), process('content 0 primary', 190, 90, 9)],
  diskMiB: 200,
}

t.test('what ends where it began has not grown', async (t) => {
  t.same(growthBetween(before, before), [])
  const other = {
    processes: before.processes.map((one) => ({ ...one, pid: 2, rssMiB: one.rssMiB + 20 })),
    diskMiB: 250,
  }
  t.same(growthBetween(before, other), [], 'a heap is not the same at two moments')
})

t.test('growth is named: memory, files, threads, disk, and what is gone', async (t) => {
  const after = { processes: [process('content 0 primary', 400, 140, 15)], diskMiB: 900 }
  t.same(growthBetween(before, after), [
    'content 0 primary: memory grew from 190 to 400 MiB',
    'content 0 primary: open files grew from 90 to 140',
    'content 0 primary: threads grew from 9 to 15',
    'agent host1 does not run any more',
    'the files grew from 200 to 900 MiB',
  ])
})

t.test('a row that holds less than was acknowledged, or more than was tried, is wrong', async (t) => {
  const counters = new Counters(1, () => [])
  const rows = Array.from({ length: 64 }, (_, id) => ({ id, n: 0 }))
  t.same(counters.judge(rows), [])
  t.match(counters.judge(rows.slice(1)), [/63 rows of 64/])
  t.match(counters.judge(rows.map((row) => (row.id === 5 ? { id: 5, n: 1 } : row))), [/row 5 holds 1/])
})

t.test('options are whole numbers', async (t) => {
  t.match(parseSoakArgs([]), { statements: 1_000_000, failovers: 200, clients: 16 })
  t.match(parseSoakArgs(['--failovers', '3', '--json']), { failovers: 3, json: true })
  for (const wrong of [['--failovers', '0'], ['--clients', 'x'], ['--statements', '1.5'], ['--what']])
    t.throws(() => parseSoakArgs(wrong), WrongOption)
})
