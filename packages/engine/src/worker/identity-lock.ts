/**
 * Keeps the statements of a client in the role that the session was given. Made by the protocol runner, lives as long as its PostgreSQL.
 *
 * A backend here serves all sessions in turn: it has logged in as the superuser, and each session's preamble names whom it works for with SET SESSION
 * AUTHORIZATION. PostgreSQL asks who has logged in, not who works, whether that may be changed; so a function of any user could make itself superuser.
 * While the work of anybody but the superuser runs, the backend is therefore in the state in which PostgreSQL runs functions of SECURITY DEFINER:
 * nobody can change role or session authorization, not even for one function. Preambles come from the cluster itself and are run without it.
 */
import type { PostgresModule } from './postgres-module.ts'

/** SECURITY_LOCAL_USERID_CHANGE of miscadmin.h. */
const LOCKED = 1
/** BOOTSTRAP_SUPERUSERID: the role that initdb made. */
const SUPERUSER = 10

export class IdentityLock {
  readonly #module: PostgresModule

  constructor(module: PostgresModule) {
    this.#module = module
  }

  /** The cluster's own statements follow. */
  open(): void {
    this.#set(0)
  }

  /** A client's statements follow. */
  close(): void {
    if (this.#module._GetSessionUserId() !== SUPERUSER) this.#set(LOCKED)
    else this.#set(0)
  }

  #set(context: 0 | typeof LOCKED): void {
    this.#module._SetUserIdAndSecContext(this.#module._GetUserId(), context)
  }
}
