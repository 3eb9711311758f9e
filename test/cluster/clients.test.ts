// psql and pgbench, unmodified: what they ask of a server, the system views as Greenplum shows them, 64 clients in both protocols.
import t from 'tap'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { TestCluster, waitFor } from '@mirabelle/testkit/cluster'

const run = promisify(execFile)
const CATALOG_COLUMNS = 'dbid|content|role|preferred_role|mode|status|port|hostname|address|datadir'.split(
  '|',
)
const REPLICATION_COLUMNS = (
  'gp_segment_id|pid|usesysid|usename|application_name|client_addr|client_hostname|client_port|backend_start|backend_xmin|' +
  'state|sent_lsn|write_lsn|flush_lsn|replay_lsn|write_lag|flush_lag|replay_lag|sync_priority|sync_state|reply_time|sync_error'
).split('|')

const installed = (program: string) =>
  run(program, ['--version']).then(
    () => true,
    () => false,
  )

const programs = { psql: await installed('psql'), pgbench: await installed('pgbench') }

// A busy machine starts a cluster slowly; the limits of the single waits are much lower.
t.setTimeout(300_000)

t.test('psql and pgbench work unmodified', async (t) => {
  const cluster = await TestCluster.start({ segments: 2 })
  t.teardown(() => cluster.close())
  const files = await mkdtemp(join(tmpdir(), 'mirabelle-clients-'))
  t.teardown(() => rm(files, { recursive: true, force: true }))
  const { host, port } = cluster.cluster.coordinator
  const where = ['-h', host, '-p', String(port), '-U', 'postgres']
  const psql = async (...commands: string[]) => {
    const args = [
      ...where,
      '-X',
      '-v',
      'ON_ERROR_STOP=1',
      ...commands.flatMap((one) => ['-c', one]),
      'postgres',
    ]
    return (await run('psql', args)).stdout
  }

  await t.test(
    'psql: \\d, \\dt and \\copy both ways',
    { skip: programs.psql ? false : 'psql is not installed' },
    async (t) => {
      await psql(
        "CREATE TABLE fruit (id bigint, name text NOT NULL DEFAULT 'plum', PRIMARY KEY (id)) DISTRIBUTED BY (id)",
        'CREATE INDEX fruit_name ON fruit (name)',
      )
      const relations = await psql('\\d')
      t.match(relations, /public \| fruit \| table \| postgres/)
      t.match(await psql('\\dt'), /public \| fruit \| table \| postgres/)
      const described = await psql('\\d fruit')
      t.match(described, /id +\| bigint +\| +\| not null/)
      t.match(described, /name +\| text +\| +\| not null +\| 'plum'::text/)
      t.match(described, /"fruit_pkey" PRIMARY KEY, btree \(id\)/)
      t.match(described, /"fruit_name" btree \(name\)/)
      const rows = Array.from({ length: 1000 }, (_, i) => `${i}\tplum ${i}`)
      await writeFile(join(files, 'in.tsv'), `${rows.join('\n')}\n`)
      t.match(await psql(`\\copy fruit FROM '${files}/in.tsv'`), /COPY 1000/)
      const out = await psql('\\copy fruit TO STDOUT')
      t.same(out.trimEnd().split('\n').sort(), [...rows].sort(), 'what went in comes out')
      t.match(await psql('SELECT count(*), min(id), max(id) FROM fruit'), /1000 \| +0 \| +999/)
    },
  )

  await t.test('the system views have the columns of the reference', async (t) => {
    const client = await cluster.connect()
    t.teardown(() => client.end())
    const catalog = await client.query('SELECT * FROM gp_segment_configuration ORDER BY dbid')
    t.same(
      catalog.fields.map(({ name }) => name),
      CATALOG_COLUMNS,
    )
    t.same(
      catalog.rows.map(({ dbid, content, role, preferred_role, status }) =>
        [dbid, content, role, preferred_role, status].join(),
      ),
      ['1,-1,p,p,u', '2,0,p,p,u', '3,1,p,p,u', '4,0,m,m,u', '5,1,m,m,u', '6,-1,m,m,u'],
    )
    const streams = await waitFor('three streams in sync', async () => {
      const found = await client.query('SELECT * FROM gp_stat_replication ORDER BY gp_segment_id')
      return found.rows.filter((row: { sync_state: string }) => row.sync_state === 'sync').length === 3
        ? found
        : undefined
    })
    t.same(
      streams.fields.map(({ name }) => name),
      REPLICATION_COLUMNS,
    )
    t.match(streams.rows, [
      { gp_segment_id: -1, application_name: 'gp_walreceiver', state: 'streaming', sync_error: 'none' },
      { gp_segment_id: 0, application_name: 'gp_walreceiver', state: 'streaming', sync_error: 'none' },
      { gp_segment_id: 1, application_name: 'gp_walreceiver', state: 'streaming', sync_error: 'none' },
    ])
  })

  for (const mode of ['simple', 'prepared']) {
    const skip = programs.pgbench ? false : 'pgbench is not installed'
    await t.test(`pgbench: 64 clients, ${mode} protocol, no transaction fails`, { skip }, async (t) => {
      const table = `bench_${mode}`
      await cluster.query(`CREATE TABLE ${table} (id bigint, n int) DISTRIBUTED BY (id)`)
      const script = join(files, `${mode}.sql`)
      await writeFile(
        script,
        `\\set id random(1, 1000000000)\nINSERT INTO ${table} VALUES (:id, :client_id);\nSELECT n FROM ${table} WHERE id = :id;\n`,
      )
      const args = [...where, '-n', '-M', mode, '-f', script, '-c', '64', '-j', '2', '-t', '20', 'postgres']
      const { stdout } = await run('pgbench', args)
      t.match(stdout, /number of transactions actually processed: 1280\/1280/)
      t.match(stdout, /number of failed transactions: 0/)
      t.same(await cluster.query(`SELECT count(*)::int AS rows FROM ${table}`), [{ rows: 1280 }])
      t.comment(/tps = \S+/.exec(stdout)?.[0])
    })
  }
})
