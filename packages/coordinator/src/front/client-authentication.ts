/**
 * How clients prove who they are: SCRAM against the roles of the database, or trust on loopback where the cluster is configured so. Asks no engine: a login
 * does not wait for a statement that holds the coordinator's lane.
 */
import type { Authenticate } from '@mirabelle/pgwire'
import type { RoleInfo } from '../schema/schema-snapshot.ts'

export interface AuthenticationSources {
  readonly trustLoopback: () => boolean
  /** Whoever comes from another machine must use TLS. */
  readonly requireTls: () => boolean
  /** The role as committed. Throws while the database is starting up. */
  readonly role: (name: string) => RoleInfo | undefined
  /** Wall clock, ms. */
  readonly now: () => number
}

export function clientAuthentication(sources: AuthenticationSources): Authenticate {
  return ({ user, peer }) => {
    if (!peer.encrypted && !peer.loopback && sources.requireTls())
      return {
        method: 'reject',
        message: `connection from ${peer.address} is not encrypted`,
        hint: 'require_secure_transport is on: connect with sslmode=require or stricter.',
      }
    const known = sources.role(user)
    const role = known?.validUntil !== undefined && known.validUntil <= sources.now() ? undefined : known
    if (peer.loopback && sources.trustLoopback()) {
      if (role === undefined) return { method: 'reject', message: `role "${user}" does not exist` }
      return role.canLogin
        ? { method: 'trust' }
        : { method: 'reject', message: `role "${user}" is not permitted to log in` }
    }
    return { method: 'scram', verifier: role?.canLogin === true ? role.password : undefined }
  }
}
