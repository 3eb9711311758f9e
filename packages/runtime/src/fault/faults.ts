/** Whether this process has fault points, and which faults its environment sets. Called once by each main, before anything else happens. */
import { existsSync, readFileSync } from 'node:fs'
import { FaultInjector } from './fault-injector.ts'
import { parseFaults, type FaultOfProcess } from './fault-text.ts'

/** The environment variable that allows fault points: `allow`, or faults to begin with, or `@` and a file of them (docs/fault-points.md). */
export const FAULTS_VARIABLE = 'MIRABELLE_FAULT_POINTS'

/**
 * The fault points of this process; undefined unless it was started with them allowed. Written at a point as
 * `if (faults !== undefined) await faults.at('…')`: without them nothing is awaited and nothing is called.
 */
export let faults: FaultInjector | undefined

/**
 * Allows fault points when the environment says so. `names` are what this process is called there: `cli`; `agent` and its host; `instance` and `dbidN`.
 * Throws `fault.refused` when the variable cannot be understood: a test that misspells a point must not pass.
 */
export function allowFaults(names: readonly string[], environment: NodeJS.ProcessEnv = process.env): void {
  const wanted = faultsOf(environment)
  if (wanted === undefined) return
  const injector = new FaultInjector()
  for (const { process: name, fault } of wanted)
    if (name === undefined || names.includes(name)) injector.inject(fault)
  faults = injector
}

/** What the environment sets; undefined when it does not allow fault points. `@FILE` reads them from a file, which need not exist. */
export function faultsOf(environment: NodeJS.ProcessEnv): FaultOfProcess[] | undefined {
  const text = environment[FAULTS_VARIABLE]
  if (text === undefined || text === '') return undefined
  return text.split(';').flatMap((part) => {
    const [, file] = /^\s*@(.+)$/.exec(part) ?? []
    if (file === undefined) return parseFaults(part)
    return existsSync(file) ? parseFaults(readFileSync(file, 'utf8')) : []
  })
}
