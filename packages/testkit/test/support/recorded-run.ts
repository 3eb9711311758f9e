/** A short run with one fault, for the report. */
import type { Op } from '../../src/chaos/history/op.ts'
import type { WalSample } from '../../src/chaos/watch/wal-sampler.ts'

/** Content 0 is hit from 1 s to 2 s and answers nothing from 1.05 s to 1.85 s; content 1 answers all the time. */
function recorded(): Op[] {
  const ops: Omit<Op, 'index'>[] = []
  const nemesis = { process: 'nemesis' as const, workload: 'nemesis' as const }
  const both = [0, 1]
  for (let timeMs = 50; timeMs < 3_000; timeMs += 100) {
    for (const content of both) {
      if (content === 0 && timeMs > 1_050 && timeMs < 1_850) continue
      const common = {
        process: content,
        workload: 'set' as const,
        f: 'add',
        value: [timeMs],
        contents: [content],
      }
      ops.push({ ...common, type: 'invoke', timeMs: timeMs - 10 }, { ...common, type: 'ok', timeMs })
    }
  }
  const two = { process: 7, workload: 'append' as const, f: 'txn', value: [], contents: both }
  ops.push({ ...two, type: 'invoke', timeMs: 1_100 })
  ops.push({ ...two, type: 'ok', timeMs: 1_500 }, { ...two, type: 'invoke', timeMs: 1_501 })
  ops.push({ ...two, type: 'info', timeMs: 1_600, error: '57P01 content 0 <is> "unavailable" & more' })
  ops.push({ ...nemesis, type: 'invoke', f: 'kill-primary', value: null, timeMs: 1_000 })
  ops.push({
    ...nemesis,
    type: 'info',
    f: 'kill-primary',
    value: 'SIGKILL to dbid 2',
    contents: [0],
    timeMs: 1_001,
  })
  ops.push({ ...nemesis, type: 'invoke', f: 'heal', value: null, timeMs: 1_900 })
  ops.push({ ...nemesis, type: 'info', f: 'heal', value: 'recover dbid 2: done', timeMs: 2_000 })
  return ops.sort((a, b) => a.timeMs - b.timeMs).map((op, index) => ({ index, ...op }))
}

/** Its operations, WAL positions, and what a summary is made of. */
export function recordedRun() {
  const ops = recorded()
  const sample = { state: 'primary', timeline: 1, rssBytes: 200e6, role: 'p' as const }
  const wal: WalSample[] = [0, 1_000, 2_000, 8_000].flatMap((timeMs) => [
    { ...sample, timeMs, dbid: 2, content: 0, flushLsn: 0x800000 + timeMs },
    { ...sample, timeMs, dbid: 4, content: 0, flushLsn: 0x800000 + timeMs / 2 },
  ])
  const anomaly = {
    workload: 'append' as const,
    kind: 'G1c',
    summary: 'T1 before T2 before T1 <&>',
    story: ['T1 "saw" T2', 'T2 saw T1'],
    timesMs: [1_500, Infinity],
  }
  const facts = {
    seed: 42,
    minutes: 0.05,
    contents: 2,
    ops,
    wal,
    verdicts: [
      {
        workload: 'append' as const,
        anomalies: [anomaly],
        undecided: [],
        counts: { ok: 1, fail: 0, info: 1 },
      },
    ],
    anomalies: [anomaly],
    faultsEndMs: 3_000,
  }
  return { ops, wal, facts }
}
