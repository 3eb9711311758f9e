/** Entry: `node run-sql-main.js PORT STATEMENT` runs a statement as the superuser through loopback, where the host's own people need no password. Prints the rows as JSON. */
import pg from 'pg'

const [port, sql] = process.argv.slice(2) as [string, string]
const client = new pg.Client({
  host: '127.0.0.1',
  port: Number(port),
  user: 'postgres',
  database: 'postgres',
})
await client.connect()
try {
  const { rows } = await client.query<object>(sql)
  process.stdout.write(`${JSON.stringify(rows)}\n`)
} finally {
  await client.end()
}
