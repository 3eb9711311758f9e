/** COPY FROM STDIN: the rows that the coordinator cuts out of a client's data. Put together they are the data, however it came. */
import { isDeepStrictEqual } from 'node:util'
import { CopyRowSplitter, Planner, type CopyInPlan } from '@mirabelle/sql'
import { text } from '../draw.ts'
import { promise, type FuzzInput, type FuzzTarget } from '../fuzz-target.ts'
import { chopped, damaged } from '../mutate.ts'
import { sqlCatalog } from './sql-catalog.ts'

const SEGMENTS = 4
const COPIES = [
  'COPY t FROM STDIN',
  'COPY u FROM STDIN WITH (FORMAT csv, HEADER)',
  "COPY t FROM STDIN WITH (FORMAT csv, QUOTE '''', DELIMITER ';', NULL 'nil')",
  'COPY rnd FROM STDIN',
] as const
const PARTS = [
  '\t',
  ',',
  ';',
  '\n',
  '\r\n',
  '\r',
  '\\',
  '\\N',
  '\\.',
  '\\.\n',
  '"',
  "'",
  '""',
  '1',
  '-7',
  'x',
  ' ',
  '\\x41',
  '\\101',
] as const

const plans: CopyInPlan[] = []

export const copyRows: FuzzTarget = {
  name: 'copy-rows',
  what: 'data of COPY FROM STDIN, text and CSV, cut anywhere',
  async open() {
    const planner = await Planner.create()
    for (const statement of COPIES) {
      const plan = planner.plan(statement, sqlCatalog)[0]?.plan
      if (plan?.kind !== 'copyIn') throw new Error(`${statement}: ${JSON.stringify(plan)}`)
      plans.push(plan)
    }
  },
  close() {
    plans.length = 0
    return Promise.resolve()
  },
  draw(random) {
    let data = ''
    for (let left = random.below(30); left > 0; left--)
      data += random.chance(0.8) ? random.pick(PARTS) : text(random, 20)
    const bytes = Buffer.from(data)
    return [
      Buffer.from([random.below(COPIES.length)]),
      ...chopped(random, random.chance(0.3) ? damaged(random, bytes) : bytes),
    ]
  },
  run([which = Buffer.alloc(1), ...chunks]) {
    const plan = plans[(which[0] ?? 0) % plans.length]
    if (plan === undefined) throw new Error('not open')
    const cut = outcomeOf(plan, chunks)
    const whole = outcomeOf(plan, [Buffer.concat(chunks)])
    promise(
      isDeepStrictEqual(cut, whole),
      () =>
        `in ${chunks.length} chunks ${cut.rows} rows (${cut.refused}), in one ${whole.rows} (${whole.refused})`,
    )
    // Header and end marker are left out, nothing else.
    promise(Buffer.concat(chunks).includes(whole.bytes), () => 'the rows put together are not the data')
  },
}

interface Outcome {
  readonly rows: number
  readonly bytes: Buffer
  readonly contents: readonly number[]
  readonly refused: string | undefined
}

function outcomeOf(plan: CopyInPlan, chunks: FuzzInput): Outcome {
  const parts: Uint8Array[] = []
  const contents: number[] = []
  let rows = 0
  const splitter = new CopyRowSplitter(plan, SEGMENTS, {
    rows(content, bytes, count) {
      for (let one = 0; one < count; one++) contents.push(content)
      rows += count
      parts.push(Buffer.from(bytes))
    },
    unplaced(bytes) {
      contents.push(-9)
      rows++
      parts.push(Buffer.from(bytes))
    },
  })
  let refused: string | undefined
  try {
    for (const chunk of chunks) splitter.push(chunk)
    splitter.finish()
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'Refusal') throw error
    refused = error.message
  }
  // What came before a refusal depends on where the chunks ended; nothing of it is kept.
  if (refused !== undefined) return { rows: 0, bytes: Buffer.alloc(0), contents: [], refused }
  return { rows, bytes: Buffer.concat(parts), contents, refused }
}
