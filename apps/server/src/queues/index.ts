export { openQueues, Queues, type QueueLog } from './queues.js'
export { type QueueName, queueNames } from './names.js'
