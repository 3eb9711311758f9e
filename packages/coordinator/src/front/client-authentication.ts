/** How clients prove who they are: SCRAM against pg_authid, or trust on loopback where the cluster is configured so. */
import type { Authenticate } from '@mirabelle/pgwire'
import { literal } from '../catalog/catalog-sql.ts'
import { firstColumn, firstErrorCode } from '../lanes/backend-bytes.ts'
import type { LaneResult } from '../lanes/lane-item.ts'
import { SqlError } from '../errors.ts'

export interface AuthenticationSources {
  readonly trustLoopback: () => boolean
  /** Whoever comes from another machine must use TLS. */
  readonly requireTls: () => boolean
  /** Runs SQL as superuser on the coordinator. */
  readonly run: (sql: string) => Promise<LaneResult>
}

export function clientAuthentication(sources: AuthenticationSources): Authenticate {
  return async ({ user, peer }) => {
    if (!peer.encrypted && !peer.loopback && sources.requireTls())
      return {
        method: 'reject',
        message: `connection from ${peer.address} is not encrypted`,
        hint: 'require_secure_transport is on: connect with sslmode=require or stricter.',
      }
    const result = await sources.run(
      `SELECT rolcanlogin::text || ' ' || coalesce(rolpassword, '') FROM pg_catalog.pg_authid WHERE rolname = ${literal(user)} AND (rolvaliduntil IS NULL OR rolvaliduntil > now())`,
    )
    if (firstErrorCode(result.output) !== undefined)
      throw new SqlError('58000', 'the roles of the database could not be read')
    const row = firstColumn(result.output)[0]
    const canLogin = row?.startsWith('true ') === true
    const verifier = row?.slice(row.indexOf(' ') + 1)
    if (peer.loopback && sources.trustLoopback()) {
      if (row === undefined) return { method: 'reject', message: `role "${user}" does not exist` }
      return canLogin
        ? { method: 'trust' }
        : { method: 'reject', message: `role "${user}" is not permitted to log in` }
    }
    return { method: 'scram', verifier: canLogin && verifier !== '' ? verifier : undefined }
  }
}
