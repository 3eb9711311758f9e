/** What the logs of a run must never say, whatever was done to the cluster: that a data directory is not what it was. A second copy may hide from clients what one copy has lost. */
import { readdir, readFile } from 'node:fs/promises'
import type { Anomaly } from '../check/anomaly.ts'
import { fewOfEachKind } from '../check/anomaly.ts'

/** In PostgreSQL's words, and in Mirabelle's. */
const DAMAGE =
  /PANIC: {2}|could not locate a valid checkpoint record|invalid checkpoint record|invalid page in block|page verification failed|could not read block|unexpected (?:data beyond EOF|zero page)|cannot follow uninitialized|WAL contains references to invalid pages|requested timeline \d+ does not contain minimum recovery point|"code":"datadir\.(?:broken|foreign)"|its WAL is damaged/
const LOGS = /(^|\/)(mirabelle|instance)\.log(\.\d+)?$/
const LINE_LENGTH = 300

/** `dir`: the folder of the cluster. */
export async function damageInLogs(dir: string, nowMs: number): Promise<Anomaly[]> {
  const names = (await readdir(dir, { recursive: true })).filter((name) => LOGS.test(name)).sort()
  const found: Anomaly[] = []
  for (const name of names) {
    for (const line of linesOfDamage(await readFile(`${dir}/${name}`, 'utf8'))) {
      const summary = `${name} says: ${line.slice(0, LINE_LENGTH)}`
      found.push({ workload: 'cluster', kind: 'damaged', summary, story: [line], timesMs: [nowMs] })
    }
  }
  return fewOfEachKind(found)
}

export function linesOfDamage(log: string): string[] {
  return log.split('\n').filter((line) => DAMAGE.test(line))
}
