/**
 * Is everything there that was acknowledged, once, and nothing else? Elements are added once each, several of them in one transaction, and never taken away. Every
 * read is checked: what was acknowledged before it began must be in it. Pure.
 */
import { callsOf, type Call, type Json, type Op } from '../history/op.ts'
import { countOutcomes, fewOfEachKind, seconds, type Anomaly, type Verdict } from './anomaly.ts'

interface SetRead {
  /** Only elements above this were asked for. */
  readonly above: number
  readonly seen: readonly number[]
}

export function checkSet(ops: readonly Op[]): Verdict {
  const calls = callsOf(ops, 'set')
  const adds = new Map<number, Call>()
  for (const call of calls.filter(({ f }) => f === 'add')) {
    for (const element of elementsOf(call)) adds.set(element, call)
  }
  const reads = calls.filter(({ f, outcome }) => f === 'read' && outcome === 'ok')
  const anomalies = reads.flatMap((read) => readAnomalies(read, adds))
  const undecided = reads.some(({ final }) => final) ? [] : ['set: there is no final read']
  return { workload: 'set', anomalies: onceEach(anomalies), undecided, counts: countOutcomes(calls) }
}

interface Finding extends Anomaly {
  readonly element: number
}

function readAnomalies(read: Call, adds: ReadonlyMap<number, Call>): Finding[] {
  const { above, seen } = read.told as { readonly [name: string]: Json } as unknown as SetRead
  const found: Finding[] = []
  const who = `${read.final ? 'the final read' : 'a read'} of process ${read.process}, ${seconds(read.invokedMs)} to ${seconds(read.endedMs)},`
  const say = (kind: string, element: number, what: string): void => {
    const add = adds.get(element)
    const story = [
      `${who} ${what}`,
      add === undefined
        ? `nobody ever added ${element}`
        : `added by process ${add.process} from ${seconds(add.invokedMs)} on: ${add.outcome} at ${seconds(add.endedMs)} ${add.error}`,
    ]
    const timesMs = [read.endedMs, ...(add === undefined ? [] : [add.invokedMs])]
    found.push({ workload: 'set', kind, element, summary: `${who} ${what}`, story, timesMs })
  }
  const there = new Set<number>()
  for (const element of seen) {
    if (there.has(element)) say('doubled', element, `shows ${element} more than once`)
    there.add(element)
    const add = adds.get(element)
    if (add === undefined) say('appeared', element, `shows ${element}, which nobody added`)
    else if (add.outcome === 'fail') say('appeared', element, `shows ${element}, whose insert was refused`)
    else if (add.invokedAt > read.endedAt) say('appeared', element, `shows ${element} before it was added`)
  }
  for (const [element, add] of adds) {
    if (element <= above || there.has(element)) continue
    const others = elementsOf(add).filter((other) => there.has(other))
    if (add.outcome === 'ok' && add.endedAt < read.invokedAt)
      say('lost', element, `misses ${element}, which was acknowledged before`)
    else if (others.length > 0)
      say('torn', element, `misses ${element} but shows ${others.join(', ')} of the same insert`)
  }
  return found
}

function elementsOf(call: Call): readonly number[] {
  return call.asked as readonly number[]
}

/** An element that one read misses is missed by the next, too: the first and the last time are told, as one. */
function onceEach(findings: readonly Finding[]): Anomaly[] {
  const first = new Map<string, { finding: Finding; times: number; last: Finding }>()
  for (const finding of findings) {
    const key = `${finding.kind} ${finding.element}`
    const known = first.get(key)
    first.set(key, {
      finding: known?.finding ?? finding,
      times: (known?.times ?? 0) + 1,
      last: finding,
    })
  }
  return fewOfEachKind(
    [...first.values()].map(({ finding, times, last }) => {
      const { element: _, ...anomaly } = finding
      return times === 1
        ? anomaly
        : { ...anomaly, story: [...anomaly.story, `${times} reads show it, the last: ${last.summary}`] }
    }),
  )
}
