/** The door for clients of a process of content -1: it stands while the process does, and lets clients in while the coordinator role is held. */
import type { Assignment, Settings } from '@mirabelle/messages'
import { createFrontDoor, PgError, type FrontDoor } from '@mirabelle/pgwire'
import { boundedLogger, type Ports } from '@mirabelle/runtime'
import type { SqlFrontend } from '../session/sql-frontend.ts'
import { clientAuthentication } from './client-authentication.ts'
import { spillFiles } from './spill-files.ts'
import { tlsFiles } from './tls-files.ts'

const STARTING_UP = 'the database system is starting up'

export interface DoorOptions {
  readonly ports: Ports
  readonly assignment: Assignment
  /** Addresses for clients. */
  readonly sqlHost: string
  /** Of the cluster; undefined while the role is not held. */
  readonly clusterSettings: () => Settings | undefined
  /** As this process knows them. */
  readonly settings: () => Settings
  /** undefined until it was started for the first time. */
  readonly frontend: () => SqlFrontend | undefined
}

export async function openCoordinatorDoor(options: DoorOptions): Promise<FrontDoor> {
  const { ports, assignment, sqlHost } = options
  const tls = tlsFiles(assignment.datadir)
  const frontend = (): SqlFrontend => {
    const found = options.frontend()
    if (found === undefined) throw notReady(STARTING_UP)
    return found
  }
  return createFrontDoor({
    listen: { host: sqlHost, port: assignment.sqlPort },
    ...(tls === undefined ? {} : { tls }),
    notReady: notReady(assignment.role === 'm' ? 'the database system is in recovery mode' : STARTING_UP),
    authenticate: clientAuthentication({
      trustLoopback: () => options.clusterSettings()?.loopback_trust ?? false,
      requireTls: () => options.clusterSettings()?.require_secure_transport ?? false,
      role: (name) => frontend().role(name),
      now: () => ports.clock.now(),
    }),
    sessionFactory: (connection) => frontend().sessionFactory(connection),
    // Anybody can make it warn.
    logger: boundedLogger(ports.log.child({ actor: 'front-door' }), ports.clock),
    clock: ports.clock,
    openSpillFile: spillFiles(ports.disk, assignment.datadir),
    maxConnections: ({ user }) => {
      const { max_connections, superuser_reserved_connections } = options.settings()
      const isSuperuser = options.frontend()?.role(user)?.superuser === true
      return max_connections - (isSuperuser ? 0 : superuser_reserved_connections)
    },
    authenticationTimeoutMs: () => options.settings().authentication_timeout,
  })
}

/** What a client is told that comes too early, or too late. */
export function notReady(message: string): PgError {
  return new PgError({ severity: 'FATAL', code: '57P03', message })
}
