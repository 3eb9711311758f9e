/** What the logs of a run must never say, whatever was done to the cluster: that a data directory is not what it was. A second copy may hide from clients what one copy has lost. */
import { readdir, readFile } from 'node:fs/promises'
import type { Anomaly } from '../check/anomaly.ts'
import { fewOfEachKind } from '../check/anomaly.ts'

/** In PostgreSQL's words, and in Mirabelle's. */
const DAMAGE =
  /PANIC: {2}|could not locate a valid checkpoint record|invalid checkpoint record|invalid page in block|page verification failed|could not read block|unexpected (?:data beyond EOF|zero page)|cannot follow uninitialized|WAL contains references to invalid pages|requested timeline \d+ does not contain minimum recovery point|"code":"datadir\.(?:broken|foreign)"|its WAL is damaged/
const LOGS = /(^|\/)(mirabelle|instance)\.log(\.\d+)?$/
const LINE_LENGTH = 300

/** What a mirror says when its base has been copied from its primary. */
const COPIED = '"msg":"the base is copied"'

/** Copies of bases that were made by instances of contents. A standby is copied when it is made. */
export async function copiesInLogs(dir: string): Promise<string[]> {
  const lines = await Promise.all((await logsIn(dir)).map((name) => readFile(`${dir}/${name}`, 'utf8')))
  return lines
    .flatMap((log) => log.split('\n'))
    .filter((line) => line.includes(COPIED) && !line.includes('"content":-1'))
}

/** `dir`: the folder of the cluster. */
export async function damageInLogs(dir: string, nowMs: number): Promise<Anomaly[]> {
  const found: Anomaly[] = []
  for (const name of await logsIn(dir)) {
    for (const line of linesOfDamage(await readFile(`${dir}/${name}`, 'utf8'))) {
      const summary = `${name} says: ${line.slice(0, LINE_LENGTH)}`
      found.push({ workload: 'cluster', kind: 'damaged', summary, story: [line], timesMs: [nowMs] })
    }
  }
  return fewOfEachKind(found)
}

async function logsIn(dir: string): Promise<string[]> {
  return (await readdir(dir, { recursive: true })).filter((name) => LOGS.test(name)).sort()
}

export function linesOfDamage(log: string): string[] {
  return log.split('\n').filter((line) => DAMAGE.test(line))
}
