/** Settings of a running cluster: read from its coordinator, changed through it. */
import { resettableSettings, type ActionResult, type SettingRow } from '@mirabelle/messages'
import { CliError } from '../errors.ts'
import type { Cluster } from './cluster.ts'
import { requireCoordinator } from './coordinators.ts'

/** The catalog's change waits for the standby, then every instance is told. */
const ANSWER_MS = 30_000

export interface Config {
  readonly settings: readonly SettingRow[]
  /** After a change: a row per instance other than the coordinator. */
  readonly results: readonly ActionResult[]
}

/** Values by name; null = back to the default. */
export type ConfigChange = Readonly<Record<string, string | null>>

/** All settings as the coordinator's catalog has them. Throws CliError when no coordinator answers. */
export function readConfig(cluster: Cluster): Promise<Config> {
  return changeConfig(cluster, {})
}

/** Changes settings, all or none. Throws CliError when no coordinator answers, MirabelleError `setting.invalid` for a name or a value that is refused. */
export async function changeConfig(cluster: Cluster, change: ConfigChange): Promise<Config> {
  const { row } = await requireCoordinator(cluster)
  const { settings, results } = await cluster.control.ask(
    row.endpoint,
    { type: 'cluster.config', change },
    ANSWER_MS,
  )
  return { settings, results }
}

/** The change that takes everything back to its default but who may log in. */
export function resetAll(): ConfigChange {
  return Object.fromEntries(resettableSettings.map((name) => [name, null]))
}

/** The row of a setting. Throws CliError when there is none of this name. */
export function rowOf({ settings }: Config, name: string): SettingRow {
  const row = settings.find((one) => one.name === name)
  if (row === undefined)
    throw new CliError(
      `there is no setting "${name}" of the cluster; "mirabelle config list" shows all. For one of PostgreSQL: ALTER ROLE ALL SET ${name} = …`,
    )
  return row
}
