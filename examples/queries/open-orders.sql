-- Open orders, the one that is due first on top, with what is still to be made.
SELECT order_id, item, line, dispatch_status, remaining, due_ms, at_ms AS seen_ms
FROM orders
WHERE dispatch_status NOT IN ('completed', 'closed', 'aborted', 'cancelled')
ORDER BY due_ms, order_id;
