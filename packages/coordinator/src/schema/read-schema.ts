/** Reads the schema of the coordinator's PostgreSQL: what PostgreSQL brings along once, what users made again and again. */
import { MirabelleError } from '@mirabelle/messages'
import { firstColumn, firstErrorCode } from '../lanes/backend-bytes.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import type { LaneItem, LaneResult } from '../lanes/lane-item.ts'
import {
  SCHEMA_SETTINGS,
  systemSchemaSql,
  userSchemaSql,
  type SystemSchemaJson,
  type UserSchemaJson,
} from './schema-sql.ts'

/** Runs one item on the coordinator's engine: by itself, or inside the transaction that holds its lane. */
export type RunOnCoordinator = (
  item: Pick<LaneItem, 'bytes' | 'syncs' | 'settings' | 'write'>,
) => Promise<LaneResult>

/**
 * What PostgreSQL brings along. Needs no lane, and no settings of a session: a coordinator that takes its role reads it while it waits for others. Rejects
 * with `internal` when PostgreSQL refuses.
 */
export function readSystemSchema(run: (sql: string) => Promise<Answer>): Promise<SystemSchemaJson> {
  return run(systemSchemaSql).then(jsonOf) as Promise<SystemSchemaJson>
}

/** What users made. Rejects with `internal` when PostgreSQL refuses. */
export function readUserSchema(run: RunOnCoordinator): Promise<UserSchemaJson> {
  const item = { bytes: queryMessage(userSchemaSql), syncs: 1, settings: SCHEMA_SETTINGS, write: false }
  return run(item).then(jsonOf) as Promise<UserSchemaJson>
}

type Answer = Pick<LaneResult, 'output'>

function jsonOf({ output }: Answer): unknown {
  const code = firstErrorCode(output)
  const [text] = firstColumn(output)
  if (code !== undefined || text === undefined)
    throw new MirabelleError(
      'internal',
      `the schema of the coordinator could not be read: SQLSTATE ${code ?? 'none, no row'}`,
    )
  return JSON.parse(text)
}
