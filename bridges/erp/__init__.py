"""ERP bridge: order files and order commands in, job orders in the tree."""
