"""ERP bridge over HTTP: confirmations out, orders in."""
