/** A session over a dispatcher that answers by itself: for what sessions do without any engine. */
import { MirabelleError } from '@mirabelle/messages'
import { defaultSettings } from '@mirabelle/messages'
import type { ClientConnection } from '@mirabelle/pgwire'
import { Planner } from '@mirabelle/sql'
import type { Dispatcher } from '../../src/dispatcher.ts'
import { LocalUsers } from '../../src/execute/local-users.ts'
import type { Services } from '../../src/execute/scope.ts'
import type { LaneItem, LaneResult } from '../../src/lanes/lane-item.ts'
import type { LaneRun } from '../../src/lanes/lane-run.ts'
import { SchemaCache } from '../../src/schema/schema-cache.ts'
import { systemSchemaSql, type SystemSchemaJson, type UserSchemaJson } from '../../src/schema/schema-sql.ts'
import { DescribeCache } from '../../src/session/describe.ts'
import { SessionState } from '../../src/session/session-state.ts'
import { SettingsOfSession } from '../../src/session/session-settings.ts'
import { SqlSession } from '../../src/session/sql-session.ts'
import { dataRow } from '@mirabelle/pgwire'
import { testPorts } from './local-cluster.ts'

export type Answer = (content: number, item: Partial<LaneItem>) => Promise<LaneResult>

const SYSTEM: SystemSchemaJson = {
  tables: [],
  functions: [['pg_catalog', 'now', 's', false]],
  types: [
    [23, 'integer'],
    [25, 'text'],
  ],
  settings: { search_path: '"$user", public', timezone: 'UTC' },
}

const USER: UserSchemaJson = {
  schemas: ['pg_catalog', 'public'],
  tables: [
    {
      oid: 20000,
      schema: 'public',
      name: 'kv',
      kind: 'r',
      policy: 'p',
      key: [1],
      columns: [
        [1, 'k', 'integer', 'integer', null],
        [2, 'v', 'text', 'text', null],
      ],
      indexes: [['kv_pkey', true, ['k']]],
      definition: null,
      reads: null,
    },
  ],
  functions: [],
  types: [],
  roles: [['postgres', true, true, null, null, null]],
}

export interface FakeSession {
  readonly session: SqlSession
  readonly state: SessionState
  readonly services: Services
  /** What the client got. */
  readonly sent: Uint8Array[]
}

export async function fakeSession(answer: Answer): Promise<FakeSession> {
  const ports = testPorts('fake')
  const run = (content: number, item: Partial<LaneItem>): LaneRun => ({
    promise: answer(content, item),
    cancel() {},
  })
  const dispatcher = {
    dataContents: [0, 1],
    runOne: run,
    lane: (content: number) => ({ run: (item: LaneItem) => run(content, item) }),
    begin: () => {
      throw new MirabelleError('internal', 'no transactions here')
    },
  } as unknown as Dispatcher
  const schema = new SchemaCache(2)
  await schema.load((item) => {
    const system = Buffer.from(item.bytes).includes(systemSchemaSql.slice(0, 80))
    return Promise.resolve({
      output: dataRow([JSON.stringify(system ? SYSTEM : USER)]),
      lsn: 0,
      txStatus: 'I',
    })
  })
  const services: Services = {
    dispatcher,
    ports,
    planner: await Planner.create(),
    schema,
    localUsers: new LocalUsers(ports.clock),
    sessions: new Map(),
    hooks: {
      settings: () => defaultSettings,
      showSetting: () => undefined,
      settingRows: () => [],
      configure: () => Promise.reject(new Error('no catalog here')),
      refreshLiveViews: () => Promise.resolve(undefined),
      requestFtsScan: () => Promise.resolve(),
      signal: () => false,
    },
  }
  const sent: Uint8Array[] = []
  const connection = {
    pid: 1,
    user: 'postgres',
    database: 'postgres',
    parameters: new Map(),
    settings: new Map(),
    closed: false,
    bufferedBytes: 0,
    send: (bytes: Uint8Array) => void sent.push(bytes),
    drained: () => Promise.resolve(),
    parameterStatus: () => undefined,
    notice: () => undefined,
    fatal: () => undefined,
  } as unknown as ClientConnection
  const state = new SessionState({
    services,
    connection,
    settings: new SettingsOfSession(new Map()),
    superuser: 'postgres',
    describeCache: new DescribeCache(),
  })
  return { session: new SqlSession(state, () => undefined), state, services, sent }
}
