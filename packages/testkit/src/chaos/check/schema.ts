/** Are the tables there that were made, with all of their rows, and no others? A table is made once and dropped once; what was refused was not done. Pure. */
import { callsOf, type Call, type Op } from '../history/op.ts'
import { countOutcomes, fewOfEachKind, seconds, type Anomaly, type Verdict } from './anomaly.ts'

interface Look {
  readonly tables: readonly number[]
  /** Of those that were looked into; null for one that had gone meanwhile. */
  readonly rows: Readonly<Record<string, readonly number[] | null>>
}

interface Known {
  readonly made: Call
  dropped?: Call
}

/** What each table is made with: the numbers from 1 to this. */
export const ROWS_OF_A_TABLE = 8

export function checkSchema(ops: readonly Op[]): Verdict {
  const calls = callsOf(ops, 'schema')
  const known = new Map<number, Known>()
  for (const call of calls) {
    if (call.f === 'make') known.set(call.asked as number, { made: call })
    const dropped = call.f === 'drop' ? known.get(call.asked as number) : undefined
    if (dropped !== undefined) dropped.dropped = call
  }
  const looks = calls.filter(({ f, outcome }) => f === 'look' && outcome === 'ok')
  const undecided = looks.some(({ final }) => final) ? [] : ['schema: there is no final look']
  const anomalies = fewOfEachKind(looks.flatMap((look) => lookAnomalies(look, known)))
  return { workload: 'schema', anomalies, undecided, counts: countOutcomes(calls) }
}

function lookAnomalies(look: Call, known: ReadonlyMap<number, Known>): Anomaly[] {
  const { tables, rows } = look.told as unknown as Look
  const found: Anomaly[] = []
  const who = `${look.final ? 'the final look' : 'a look'} at ${seconds(look.endedMs)}`
  const say = (kind: string, table: number, what: string): void => {
    const { made, dropped } = known.get(table) ?? {}
    const story = [made, dropped].flatMap((call) => (call === undefined ? [] : [tell(call)]))
    const summary = `${who} ${what}`
    found.push({ workload: 'schema', kind, summary, story: [summary, ...story], timesMs: [look.endedMs] })
  }
  const there = new Set(tables)
  for (const table of tables) {
    const { made, dropped } = known.get(table) ?? {}
    if (made === undefined || made.outcome === 'fail' || made.invokedAt > look.endedAt)
      say('appeared', table, `shows table ${table}, which was not made`)
    else if (dropped !== undefined && isDoneBefore(dropped, look))
      say('came-back', table, `shows table ${table}, which had been dropped`)
  }
  for (const [table, { made, dropped }] of known) {
    if (there.has(table) || !isDoneBefore(made, look) || mayBeDoneBy(dropped, look)) continue
    say('lost', table, `misses table ${table}, which had been made`)
  }
  for (const [table, ids] of Object.entries(rows)) {
    const isWhole = ids?.length === ROWS_OF_A_TABLE && ids.every((id, i) => id === i + 1)
    if (ids === null ? mayBeDoneBy(known.get(Number(table))?.dropped, look) : isWhole) continue
    say(
      'torn',
      Number(table),
      `shows of table ${table} the rows ${ids === null ? 'of none' : ids.join(', ')}`,
    )
  }
  return found
}

function isDoneBefore(call: Call, look: Call): boolean {
  return call.outcome === 'ok' && call.endedAt < look.invokedAt
}

function mayBeDoneBy(call: Call | undefined, look: Call): boolean {
  return call !== undefined && call.outcome !== 'fail' && call.invokedAt < look.endedAt
}

function tell({ f, asked, outcome, invokedMs, endedMs, error }: Call): string {
  return `${f} ${JSON.stringify(asked)} from ${seconds(invokedMs)} on: ${outcome} at ${seconds(endedMs)} ${error}`
}
