/**
 * The SQL side of the coordinator: schema, planner, sessions. Started with the coordinator role (`start` loads the schema); it ends when the
 * front door has closed its sessions.
 */
import { PgError, type ClientConnection, type OpenedSession, type SessionFactory } from '@mirabelle/pgwire'
import { MirabelleError } from '@mirabelle/messages'
import { Planner } from '@mirabelle/sql'
import { LocalUsers } from '../execute/local-users.ts'
import type { Services } from '../execute/scope.ts'
import { SqlError } from '../errors.ts'
import type { LaneUser } from '../lanes/lane-queue.ts'
import { SchemaCache } from '../schema/schema-cache.ts'
import type { RoleInfo } from '../schema/schema-snapshot.ts'
import { DescribeCache } from './describe.ts'
import type { FrontendOptions } from './frontend-hooks.ts'
import { LoginAnswers } from './login-answers.ts'
import { openSessionState } from './open-session.ts'
import { errorFields } from './session-state.ts'
import { REPORTED, reportedValue } from './known-value.ts'
import { activitiesOf, type SessionActivity } from './session-directory.ts'
import { SqlSession } from './sql-session.ts'

export interface SqlFrontend {
  /** Loads the schema; sessions can be opened afterwards. Rejects when the coordinator's engine cannot be asked. */
  start(): Promise<void>
  /** For the front door. */
  readonly sessionFactory: SessionFactory
  /** Makes room on the coordinator's own lane at once: see `Dispatcher.runUrgent`. */
  preemptLocal(holder: LaneUser | undefined): void
  /** A role of the database, for authentication; undefined when there is none. */
  role(name: string): RoleInfo | undefined
  /** Reads the schema again, after something else than a session changed it. */
  reloadSchema(): Promise<void>
  /** What the open sessions do. */
  activities(): readonly SessionActivity[]
  /** Numbers for metrics. */
  stats(): { readonly sessions: number; readonly shapeHits: number; readonly shapeMisses: number }
}

export function createSqlFrontend(options: FrontendOptions): SqlFrontend {
  const { dispatcher, ports, hooks, superuser } = options
  let planner: Planner | undefined
  const sessions = new Map<number, SqlSession>()
  const services: Services = {
    dispatcher,
    ports,
    hooks,
    get planner() {
      if (planner === undefined)
        throw new MirabelleError('not.ready', 'the SQL front end has not been started')
      return planner
    },
    schema: new SchemaCache(dispatcher.dataContents.length),
    localUsers: new LocalUsers(ports.clock),
    sessions,
  }
  const describeCache = new DescribeCache()
  const answers = new LoginAnswers(services)
  const load = (system?: FrontendOptions['systemSchema']) =>
    services.schema.load((item) => dispatcher.runOne(-1, item).promise, system)

  const open = async (connection: ClientConnection): Promise<OpenedSession> => {
    const state = await openSessionState({ services, connection, superuser, describeCache, answers })
    const session = new SqlSession(state, () => sessions.delete(connection.pid))
    sessions.set(connection.pid, session)
    const parameters: Record<string, string> = {}
    for (const [name, spelled] of Object.entries(REPORTED)) {
      const value = reportedValue(state, name)
      if (value !== undefined) parameters[spelled] = value
    }
    return { session, parameters }
  }

  return {
    async start() {
      const [made] = await Promise.all([Planner.create(), load(options.systemSchema)])
      planner ??= made
    },
    reloadSchema: () => load(),
    role: (name) => services.schema.committed.roles.get(name),
    sessionFactory: async (connection) => {
      try {
        return await open(connection)
      } catch (error) {
        throw error instanceof SqlError ? fatal(error) : error
      }
    },
    preemptLocal(holder) {
      const owner =
        holder === undefined ? undefined : [...sessions.values()].find((session) => session.owns(holder))
      if (owner !== undefined) void owner.preempt()
      else services.localUsers.preempt(holder)
    },
    activities: () => activitiesOf(sessions),
    stats: () => ({
      sessions: sessions.size,
      shapeHits: planner?.cacheCounts.hits ?? 0,
      shapeMisses: planner?.cacheCounts.misses ?? 0,
    }),
  }
}

function fatal(error: SqlError): PgError {
  return new PgError({ ...errorFields(error), severity: 'FATAL' }, { cause: error })
}
