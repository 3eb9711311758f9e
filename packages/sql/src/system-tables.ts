/**
 * Tables in pg_catalog are changed by the cluster only: the coordinator holds a copy of them in its memory, and acts on it. PostgreSQL protects its own
 * ones; those of the cluster are ordinary tables to it.
 */
import { namesOf, type Ast } from './ast.ts'
import type { TableInfo } from './catalog.ts'
import type { PlanContext } from './context.ts'
import { isDdl } from './ddl-tags.ts'
import { Refusal } from './errors.ts'

/** They name relations that they only read, describe or look after. */
const HARMLESS = new Set([
  ...['ViewStmt', 'CreateStmt', 'CommentStmt', 'GrantStmt'],
  ...['VacuumStmt', 'ReindexStmt', 'ClusterStmt'],
])

/** Throws 42501 when the statement would change a table in pg_catalog or its definition. */
export function refuseSystemTables(context: PlanContext): void {
  const { kind, body } = context.statement
  if (HARMLESS.has(kind) || (kind === 'CopyStmt' && body.is_from !== true)) return
  const changesAll = isDdl(kind) && kind !== 'CreateTableAsStmt'
  for (const use of context.survey.relations) if (use.target || changesAll) refuse(use.table)
  if (kind !== 'DropStmt') return
  for (const object of (body.objects ?? []) as Ast[]) {
    const names = namesOf((object.List?.items ?? []) as Ast[])
    const name = names.at(-1)
    if (name !== undefined) refuse(context.catalog.lookup(names.at(-2), name))
  }
}

function refuse(table: TableInfo | undefined): void {
  if (table?.schema !== 'pg_catalog') return
  throw new Refusal(
    '42501',
    `permission denied: "${table.name}" is a system catalog`,
    'Use the mirabelle command: it changes the catalog and tells the cluster.',
  )
}
