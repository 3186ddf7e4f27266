texts! {
    /// Words that every page uses.
    Common {
        save: "Save changes", "保存更改";
        cancel: "Cancel", "取消";
        close: "Close", "关闭";
        create: "Create", "创建";
        edit: "Edit", "编辑";
        delete: "Delete", "删除";
        remove: "Remove", "移除";
        retry: "Try again", "重试";
        refresh: "Refresh", "刷新";
        search: "Search", "搜索";
        clear: "Clear", "清除";
        copy: "Copy", "复制";
        copied: "Copied", "已复制";
        download: "Download", "下载";
        export: "Export", "导出";
        actions: "Actions", "操作";
        more: "More actions", "更多操作";
        name: "Name", "名称";
        description: "Description", "说明";
        state: "State", "状态";
        created: "Created", "创建时间";
        updated: "Updated", "更新时间";
        labels: "Labels", "标签";
        label_key: "Key", "键";
        label_value: "Value", "值";
        add_label: "Add label", "添加标签";
        optional: "optional", "可选";
        none: "None", "无";
        never: "Never", "从未";
        unknown: "Unknown", "未知";
        saved: "Saved.", "已保存。";
        loading: "Loading", "加载中";
        rows: "{n} row|{n} rows", "{n} 行";
        selected: "{n} selected", "已选择 {n} 项";
        clear_selection: "Clear selection", "取消选择";
        select_row: "Select {name}", "选择 {name}";
        select_all: "Select all rows shown", "选择所有已显示的行";
        nothing_matches: "Nothing matches", "没有匹配项";
        nothing_matches_hint: "No row matches this search and these filters.", "没有符合搜索和筛选条件的行。";
        clear_search: "Clear the search", "清除搜索";
        type_to_confirm: "Type {name} to confirm", "输入 {name} 以确认";
        goes_for_good: "This cannot be undone.", "此操作无法撤销。";
        sort_by: "Sort by {column}", "按 {column} 排序";
        show_password: "Show password", "显示密码";
        hide_password: "Hide password", "隐藏密码";
        environment: "Environment", "环境";
    }
}

texts! {
    /// What goes wrong in the app itself.
    Errors {
        offline: "Drover does not answer. Check your connection; this page tries again by itself.", "Drover 没有响应。请检查网络连接；本页面会自动重试。";
        unreadable: "The server's answer could not be read. Reload the page: it may be older than the server.", "无法读取服务器的响应。请重新加载页面：它可能比服务器版本旧。";
        bad_answer: "Something between this browser and Drover answered in its stead. Try again in a moment.", "浏览器与 Drover 之间的某个代理代为响应。请稍后重试。";
        title: "This could not be loaded", "无法加载";
        not_found: "There is no such page", "页面不存在";
        not_found_text: "It may have been removed, or you may not have access to it.", "它可能已被移除，或者您没有访问权限。";
        forbidden: "Your role does not allow this", "您的角色无权执行此操作";
        forbidden_text: "Ask an owner of the environment or an administrator for access.", "请向环境所有者或管理员申请权限。";
        to_start: "Go to the start page", "返回首页";
        request_id: "Request", "请求";
        changed_meanwhile: "Somebody else has changed this since you opened it. Reload to see the newer version; what you typed is kept until then.", "在您打开之后已有其他人修改。请重新加载以查看新版本；在此之前您输入的内容会保留。";
        module: "A part of the app could not be loaded. Reload the page.", "应用的一部分无法加载。请重新加载页面。";
        unknown_field: "The schema does not know {field}.", "架构中没有 {field}。";
        copy: "The browser does not allow copying here.", "浏览器不允许在此复制。";
    }
}
