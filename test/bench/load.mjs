/** Runs pgbench with a custom script and reads its figures. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** True when pgbench is installed. */
export function havePgbench() {
  return spawnSync('pgbench', ['--version']).status === 0
}

/** The workloads: name, script, protocol. `:id` differs in each statement. */
export const workloads = {
  insertSimple: {
    title: 'one-row inserts, simple',
    protocol: 'simple',
    script:
      "\\set id random(1, 2000000000)\nINSERT INTO bench_insert (id, note) VALUES (:id, 'a note of some twenty bytes');\n",
  },
  insertPrepared: {
    title: 'one-row inserts, prepared',
    protocol: 'prepared',
    script:
      "\\set id random(1, 2000000000)\nINSERT INTO bench_insert (id, note) VALUES (:id, 'a note of some twenty bytes');\n",
  },
  selectSimple: {
    title: 'point selects, simple',
    protocol: 'simple',
    script: '\\set id random(1, 20000)\nSELECT note FROM bench_point WHERE id = :id;\n',
  },
  selectPrepared: {
    title: 'point selects, prepared',
    protocol: 'prepared',
    script: '\\set id random(1, 20000)\nSELECT note FROM bench_point WHERE id = :id;\n',
  },
  twoPhase: {
    title: '4 rows on 2 segments (two-phase)',
    protocol: 'simple',
    script:
      "\\set id random(1, 2000000000)\nINSERT INTO bench_insert (id, note) VALUES (:id, 'a'), (:id + 1, 'b'), (:id + 2, 'c'), (:id + 3, 'd');\n",
  },
}

/** Tables for the workloads; `distributed` adds the clause of Mirabelle. */
export function setupSql(distributed) {
  const clause = distributed ? ' DISTRIBUTED BY (id)' : ''
  return [
    `CREATE TABLE bench_insert (id bigint, note text)${clause}`,
    `CREATE TABLE bench_point (id bigint, note text)${clause}`,
    `INSERT INTO bench_point SELECT i, 'row ' || i FROM generate_series(1, 20000) i`,
    `CREATE INDEX bench_point_id ON bench_point (id)`,
  ]
}

/** Runs one workload; answers {tps, latencyMs, failed} or throws with pgbench's output. */
export function runPgbench({ dir, port, user, workload, clients, seconds }) {
  const file = join(dir, `${workload.protocol}-${clients}.sql`)
  writeFileSync(file, workload.script)
  const args = ['-h', '127.0.0.1', '-p', String(port), '-U', user, '-n', '-M', workload.protocol, '-f', file]
  args.push('-c', String(clients), '-j', String(Math.min(2, clients)), '-T', String(seconds), 'postgres')
  const run = spawnSync('pgbench', args, { encoding: 'utf8' })
  const tps = /tps = ([\d.]+)/.exec(run.stdout ?? '')
  if (run.status !== 0 || tps === null) throw new Error(`pgbench failed: ${run.stderr}\n${run.stdout}`)
  const latency = /latency average = ([\d.]+) ms/.exec(run.stdout)
  const failed = /number of failed transactions: (\d+)/.exec(run.stdout)
  return { tps: Number(tps[1]), latencyMs: Number(latency?.[1] ?? 0), failed: Number(failed?.[1] ?? 0) }
}
